"""The relocation of A32 instructions: one function for each strategy that a row may name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from armprobe.errors import Refused
from armprobe.isa.decoder import decode, find_row
from armprobe.isa.insn import ALWAYS, Insn
from armprobe.isa.steps import Constant, Jump, Relocation, Step, Word


def relocate_a32(insn: Insn, address: int, architecture: int) -> Relocation:
    """Plan the execution of an A32 instruction elsewhere, as `armprobe.isa.relocate` says."""
    return _RELOCATE[insn.row.relocate](insn, address, architecture)


_SP, _LR, _PC = 13, 14, 15
#: r0 to r12: registers a spill may use. LR is left out because it must not lie above SP or PC in a register list.
_LOW = 0x1FFF


_STORE_MULTIPLE = 0xE8800000  # stm rn, {...}; bit 24: stmib
_STORE_MULTIPLE_BELOW = 0xE9000000  # stmdb rn, {...}


def _refused(insn: Insn, address: int, reason: str) -> Refused:
    return Refused(f"0x{insn.word:08x} ({insn.row.name}) at 0x{address:08x} can't be executed elsewhere: {reason}")


def _plan(insn: Insn, address: int, steps: Iterable[Step], *, falls_through: bool) -> Relocation:
    return Relocation(address, insn, tuple(steps), False, falls_through)


def _always(insn: Insn) -> int:
    """The word of `insn` with condition AL, if it has a condition."""
    return insn.word & 0x0FFFFFFF | ALWAYS << 28 if insn.row.conditional else insn.word


# One function a strategy.


def _verbatim(insn: Insn, address: int, _architecture: int) -> Relocation:
    # An exception, and a row that does not say what it writes, may come back to the next instruction.
    leaves = insn.writes_pc and insn.row.writes is not None and "exception" not in insn.row.effects
    return Relocation(address, insn, (Word(_always(insn)),), True, not leaves)


def _drop(insn: Insn, address: int, _architecture: int) -> Relocation:
    return _plan(insn, address, (), falls_through=True)


def _refuse(insn: Insn, address: int, _architecture: int) -> Relocation:
    raise _refused(insn, address, insn.row.reason)


def _branch(insn: Insn, address: int, _architecture: int) -> Relocation:
    return _plan(insn, address, [Jump(_target(insn, address))], falls_through=False)


def _call(insn: Insn, address: int, _architecture: int) -> Relocation:
    thumb = 0 if insn.row.conditional else 1  # BLX (immediate) always changes to T32, and is always executed
    steps: list[Step] = [Constant(_LR, _wrap(address + 4)), Jump(_target(insn, address) | thumb)]
    return _plan(insn, address, steps, falls_through=False)


def _target(insn: Insn, address: int) -> int:
    target = insn.target(address)
    assert target is not None, insn.row.name
    return target


def _exchange(insn: Insn, address: int, architecture: int) -> Relocation:
    if insn.fields["Rm"] == _PC:
        return _plan(insn, address, [Jump(_wrap(address + 8))], falls_through=False)
    return _verbatim(insn, address, architecture)


def _call_register(insn: Insn, address: int, _architecture: int) -> Relocation:
    returns_to = Constant(_LR, _wrap(address + 4))
    register = insn.fields["Rm"]
    if register == _LR:
        steps: list[Step] = [_push(1 << _LR), returns_to, _pop(1 << _PC)]
    else:
        steps = [returns_to, Word(0xE12FFF10 | register)]  # bx register
    return _plan(insn, address, steps, falls_through=False)


def _store_pc(insn: Insn, address: int, architecture: int) -> Relocation:
    if "registers" not in insn.row.fields:
        return _operands(insn, address, architecture)
    if not insn.word >> _PC & 1:
        return _verbatim(insn, address, architecture)
    if insn.word >> 22 & 1:
        raise _refused(insn, address, "it stores PC among user-mode registers")
    return _store_multiple(insn, address)


def _operands(insn: Insn, address: int, architecture: int) -> Relocation:
    usage = insn.usage
    if not usage.reads >> _PC & 1:
        return _verbatim(insn, address, architecture)
    if "exception_return" in insn.row.effects:
        raise _refused(insn, address, "it returns from an exception to an address that depends on its own")
    if _accesses_itself(insn):
        raise _refused(insn, address, "it accesses its own word, where the probe stands")
    value = _constant_result(insn, address)
    destination = insn.word >> 12 & 15
    if value is not None and destination == _PC:
        return _plan(insn, address, [Jump(_alu_target(insn, address, value, architecture))], falls_through=False)
    # SP can't be built up in two halves: an interrupt between them would use it.
    if value is not None and destination != _SP:
        return _plan(insn, address, [Constant(destination, value)], falls_through=True)
    # A register that the instruction overwrites and does not read is free until then.
    dead = usage.writes & ~usage.reads & (_LOW | 1 << _LR)
    if dead and not usage.writes >> _PC & 1:
        scratch = _lowest(dead)
        word = _substitute(insn, {_PC: scratch}, {})
        steps: list[Step] = [Constant(scratch, _wrap(address + 8)), Word(_checked(insn, address, word))]
        return _plan(insn, address, steps, falls_through=True)
    return _spill(insn, address, architecture)


_RELOCATE: dict[str, Callable[[Insn, int, int], Relocation]] = {
    "verbatim": _verbatim,
    "operands": _operands,
    "store_pc": _store_pc,
    "branch": _branch,
    "call": _call,
    "exchange": _exchange,
    "call_register": _call_register,
    "drop": _drop,
    "refuse": _refuse,
}


# PC as an operand.


def _constant_result(insn: Insn, address: int) -> int | None:
    """What ADR (ADD or SUB of an immediate to PC, DDI 0406C A8.8.12) and `mov rd, pc` compute; None for all others."""
    word, pc = insn.word & 0x0FFFFFFF, address + 8
    if word & 0x0FFF0FFF == 0x01A0000F:
        return _wrap(pc)
    operation = word >> 16
    if operation not in (0x28F, 0x24F):
        return None
    rotation = (word >> 8 & 15) * 2
    immediate = (word & 0xFF) >> rotation | (word & 0xFF) << (32 - rotation)
    return _wrap(pc + immediate if operation == 0x28F else pc - immediate)


def _accesses_itself(insn: Insn) -> bool:
    """Whether a load or store relative to PC, with an immediate offset, touches the four bytes of the instruction."""
    fields, word = insn.fields, insn.word
    if insn.row.memory == "none" or fields.get("Rn") != _PC or fields.get("U", 1):
        return False
    if "imm12" in fields:
        below, size = fields["imm12"], 1 if word >> 22 & 1 else 4
    elif "imm4H" in fields:
        # bits 6:5 tell byte, halfword and doubleword apart (DDI 0406C table A5-10)
        below, kind = fields["imm4H"] << 4 | fields["imm4L"], word >> 5 & 3
        size = 2 if kind == 1 else 8 if not word >> 20 & 1 else 1 if kind == 2 else 2
    elif "imm8" in fields:
        # a coprocessor other than VFP's 9, 10 and 11 decides itself how much it transfers
        below = fields["imm8"] * (2 if word >> 8 & 15 == 9 else 4)
        size = {9: 2, 10: 4, 11: 8}.get(word >> 8 & 15, 64)
    else:
        return False
    return 4 < below < 8 + size


def _alu_target(insn: Insn, address: int, value: int, architecture: int) -> int:
    """Where `value` leads when an ALU instruction writes it to PC (DDI 0406C A2.3.2, ALUWritePC)."""
    if architecture < 7:
        return value & ~3
    if value & 3 == 2:
        raise _refused(insn, address, f"it writes 0x{value:08x} to PC, which is no instruction address")
    return value


def _operand_shifts(insn: Insn) -> list[int]:
    """Where register numbers stand in the word."""
    return [shift for name, (shift, mask) in insn.row.fields.items() if name.startswith("R") and mask == 15]


def _substitute(insn: Insn, sources: dict[int, int], destinations: dict[int, int]) -> int:
    """The word with condition AL and register operands replaced.

    An operand that is read takes its register out of `sources`, one that is only written out of `destinations`. Which
    of them it is follows from the usage of the same word with a register there that the instruction does not use.
    """
    usage, word = insn.usage, _always(insn)
    unused = _lowest(~(usage.reads | usage.writes) & _LOW)
    for shift in _operand_shifts(insn):
        register = insn.word >> shift & 15
        trial = insn.word & ~(15 << shift) | unused << shift
        row = find_row(trial)
        if row is None:
            continue
        effect = row.usage(trial)
        if effect.reads >> unused & 1:
            new = sources.get(register, register)
        elif effect.writes >> unused & 1:
            new = destinations.get(register, register)
        else:
            continue
        word = word & ~(15 << shift) | new << shift
    return word


def _checked(insn: Insn, address: int, word: int) -> int:
    """`word`, if it is a valid instruction that does not read PC any more; Refused if not."""
    try:
        reads = decode(word).usage.reads
    except Refused as error:
        raise _refused(insn, address, f"with another register for PC it would be invalid ({error})") from error
    if reads >> _PC & 1:
        raise _refused(insn, address, "it reads PC in a way that another register can't replace")
    return word


def _spill(insn: Insn, address: int, architecture: int) -> Relocation:
    """Execute `insn` with scratch registers in place of PC and SP, whose own values wait on the stack meanwhile.

    sub  sp, sp, #room             only if the instruction stores below SP: that memory must stay its own
    push {scratch..., lr}          lr only makes room for the new value of PC or SP, if there is one
    add  s, sp, ...                only if the instruction reads SP: the value it had
    t := PC
    the instruction with t for PC, s for SP
    str  result, [sp, #...]        only if it writes PC or SP
    pop  {scratch..., pc}          or: ldm sp, {scratch..., sp}; or: pop {scratch...}; add sp, sp, #room
    """
    usage = insn.usage
    if usage.stores and usage.stack is None:
        raise _refused(
            insn, address, "it stores an unknown number of bytes below SP, where a scratch register must wait"
        )
    room = (usage.stack or 0) + 15 & ~15  # multiples of 16 up to 4096 are immediates
    reads_sp, writes_sp, writes_pc = (bool(mask & 1 << n) for mask, n in (
        (usage.reads, _SP), (usage.writes, _SP), (usage.writes, _PC)))  # fmt: skip
    free = ~(usage.reads | usage.writes) & _LOW
    temporary = _lowest(free)
    stack_copy = _lowest(free & ~(1 << temporary))
    saved = 1 << temporary | (1 << stack_copy if reads_sp else 0)
    word = _substitute(insn, {_PC: temporary, _SP: stack_copy}, {_PC: temporary, _SP: temporary})
    effect = decode(_checked(insn, address, word)).usage
    if (effect.reads | effect.writes) >> _SP & 1:
        raise _refused(insn, address, "it uses SP as the second of a register pair, and a scratch register moves SP")

    steps: list[Step] = [_add(_SP, _SP, -room)] if room else []
    steps.append(_push(saved | (1 << _LR if writes_pc or writes_sp else 0)))
    result_at = 4 * saved.bit_count()
    if reads_sp:
        frame = result_at + (4 if writes_pc or writes_sp else 0)
        steps.append(_add(stack_copy, _SP, frame))
        if room:
            steps.append(_add(stack_copy, stack_copy, room))
    steps += [Constant(temporary, _wrap(address + 8)), Word(word)]
    if writes_pc:
        if architecture < 7 and not usage.loads:
            steps.append(Word(0xE3C00003 | temporary << 16 | temporary << 12))  # bic t, t, #3
        steps += [_store(temporary, _SP, result_at), _pop(saved | 1 << _PC)]
    elif writes_sp:
        result = temporary if effect.writes >> temporary & 1 else stack_copy
        steps += [_store(result, _SP, result_at), Word(0xE89D0000 | saved | 1 << _SP)]  # ldm sp, {..., sp}
    else:
        steps.append(_pop(saved))
        if room:
            steps.append(_add(_SP, _SP, room))
    return _plan(insn, address, steps, falls_through=not writes_pc)


# PC in the register list of a store.


def _store_multiple(insn: Insn, address: int) -> Relocation:
    """Execute STM with PC in its list: with a scratch register for PC where one fits, or in two stores.

    A register list is stored in the order of register numbers, so only one above all others can stand for PC.
    """
    base, others = insn.word >> 16 & 15, insn.word & 0x7FFF
    above = ~((1 << others.bit_length()) - 1 | 1 << base) & (_LOW | 1 << _LR)
    if not above or base == _SP or others >> _SP & 1:  # a spill would move the SP it uses
        return _store_multiple_in_two(insn, address)
    scratch = _lowest(above)
    word = _always(insn) & ~(1 << _PC) | 1 << scratch
    steps: list[Step] = [_push(1 << scratch), Constant(scratch, _wrap(address + 8)), Word(word), _pop(1 << scratch)]
    return _plan(insn, address, steps, falls_through=True)


def _store_multiple_in_two(insn: Insn, address: int) -> Relocation:
    """Execute STM with PC in its list: store the other registers, then PC, the highest, through a scratch register.

    The addresses are those of DDI 0406C A8.8.199 to A8.8.202, written in ascending order like the original's. The other
    registers are stored by an STM, because it checks the alignment of the base as the original does.
    """
    word = insn.word
    base, before, up, write_back = word >> 16 & 15, word >> 24 & 1, word >> 23 & 1, word >> 21 & 1
    others = word & 0x7FFF
    size = 4 * (others.bit_count() + 1)
    moved = size if up else -size
    first = 4 * before if up else 4 - size - 4 * before  # from the base to the first word
    after = moved if write_back else 0
    steps: list[Step] = []
    if base == _SP and not up:
        # The words must not lie below SP, so SP goes first; then it is no longer what the list would store.
        if others >> _SP & 1:
            raise _refused(insn, address, "it stores SP below SP together with PC")
        steps.append(_add(_SP, _SP, moved))
        first, after = first - moved, after - moved
    if first >= 0:
        steps += [Word(_STORE_MULTIPLE | (first // 4) << 24 | base << 16 | others)] if others else []
    elif not before:
        steps.append(Word(_STORE_MULTIPLE_BELOW | base << 16 | others))  # DA: the words right below that of PC
    elif others >> base & 1:
        raise _refused(insn, address, "it stores its own base, which has to be moved to store PC")
    else:
        steps += [_add(base, base, -4), Word(_STORE_MULTIPLE_BELOW | base << 16 | others), _add(base, base, 4)]
    scratch = 1 if base == 0 else 0
    pc_at = first + size - 4 + (4 if base == _SP else 0)
    steps += [_push(1 << scratch), Constant(scratch, _wrap(address + 8)), _store(scratch, base, pc_at)]
    steps.append(_pop(1 << scratch))
    if after:
        steps.append(_add(base, base, after))
    return _plan(insn, address, steps, falls_through=True)


# Single instructions of our own, none of which touches a flag.


def _push(registers: int) -> Word:
    """push {registers}: one register takes the encoding of STR, as Arm recommends"""
    if registers.bit_count() == 1:
        return Word(0xE52D0004 | _lowest(registers) << 12)
    return Word(0xE92D0000 | registers)


def _pop(registers: int) -> Word:
    """pop {registers}"""
    if registers.bit_count() == 1:
        return Word(0xE49D0004 | _lowest(registers) << 12)
    return Word(0xE8BD0000 | registers)


def _store(register: int, base: int, offset: int) -> Word:
    """str register, [base, #offset]"""
    sign = 0xE5800000 if offset >= 0 else 0xE5000000
    return Word(sign | base << 16 | register << 12 | abs(offset))


def _add(register: int, source: int, value: int) -> Word:
    """add or sub register, source, #|value|, which is a modified immediate (DDI 0406C A5.2.4)"""
    operation, value = (0xE2800000, value) if value >= 0 else (0xE2400000, -value)
    rotation = next(n for n in range(16) if _rotate_left(value, 2 * n) < 256)
    return Word(operation | source << 16 | register << 12 | rotation << 8 | _rotate_left(value, 2 * rotation))


def _rotate_left(value: int, count: int) -> int:
    return _wrap(value << count | value >> (32 - count))


def _lowest(registers: int) -> int:
    """The lowest register of a mask that is not empty."""
    return (registers & -registers).bit_length() - 1


def _wrap(address: int) -> int:
    return address & 0xFFFFFFFF
