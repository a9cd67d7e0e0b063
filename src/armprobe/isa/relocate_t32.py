"""The relocation of T32 instructions: one function for each strategy that a row may name.

PC reads as the address of the instruction plus 4; literals and ADR count from there aligned to a word (DDI 0406C A2.3,
A8.8.12). Nothing can store PC, and apart from ADD and MOV (register) only loads, ADR and branches read it. Jumps carry
bit 0. Our own steps execute outside of an IT block, where a 16-bit instruction may set flags that it leaves alone
within: such a one is a step of its own (`InBlock`). 32-bit encodings mean the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from armprobe.errors import InternalError, Refused
from armprobe.isa import encode_t32 as t32
from armprobe.isa.insn import Insn
from armprobe.isa.itstate import advance, in_block, last_in_block, start
from armprobe.isa.steps import CompareJump, Constant, InBlock, Jump, Relocation, Step, Word

_SP, _LR, _PC = 13, 14, 15


def relocate_t32(insn: Insn, address: int, architecture: int) -> Relocation:
    """Plan the execution of a T32 instruction elsewhere, as `armprobe.isa.relocate` says."""
    if insn.row.relocate == "it" or (in_block(insn.it) and not last_in_block(insn.it)):
        raise _refused(
            insn, address, "nothing leads back into an IT block, so that only the whole rest of it can be displaced"
        )
    return _relocate(insn, address, architecture)


def relocate_run_t32(insns: Sequence[Insn], address: int, architecture: int) -> tuple[Relocation, ...]:
    """Plan the execution of successive T32 instructions elsewhere, as `armprobe.isa.relocate` says."""
    relocations: list[Relocation] = []
    state, site = insns[0].it, range(address, address + insns[0].length)
    for insn in insns:
        if insn.it != state:
            raise InternalError(f"0x{address:08x} is reached with ITSTATE 0x{state:02x}, not 0x{insn.it:02x}")
        if insn.row.relocate == "it":
            state = start(insn.fields["firstcond"], insn.fields["mask"])
        else:
            if insn.row.memory != "none" and _reads(insn, address, site):
                raise _refused(
                    insn, address, f"it accesses the instruction at 0x{site.start:08x}, where the probe stands"
                )
            relocations.append(_relocate(insn, address, architecture))
            state = advance(state)
        address = _wrap(address + insn.length)
    if in_block(state):
        raise InternalError(f"the IT block goes on at 0x{address:08x}")
    return tuple(relocations)


def _relocate(insn: Insn, address: int, architecture: int) -> Relocation:
    if architecture < 7:
        raise _refused(
            insn, address, f"that takes instructions of architecture 7, and this target has architecture {architecture}"
        )
    return _RELOCATE[insn.row.relocate](insn, address)


def _refused(insn: Insn, address: int, reason: str) -> Refused:
    word = f"0x{insn.word:0{2 * insn.length}x}"
    return Refused(f"{word} ({insn.row.name}) at 0x{address:08x} can't be executed elsewhere: {reason}")


def _plan(insn: Insn, address: int, steps: Iterable[Step], *, falls_through: bool) -> Relocation:
    return Relocation(address, insn, tuple(steps), False, falls_through)


# One function a strategy.


def _verbatim(insn: Insn, address: int) -> Relocation:
    # An exception, and a row that does not say what it writes, may come back to the next instruction.
    leaves = insn.writes_pc and insn.row.writes is not None and "exception" not in insn.row.effects
    if insn.row.usage(insn.word, 0).flags_written != insn.row.usage(insn.word, insn.it).flags_written:
        return _plan(insn, address, [InBlock(insn.word)], falls_through=True)
    return Relocation(address, insn, (Word(insn.word, insn.length),), True, not leaves)


def _drop(insn: Insn, address: int) -> Relocation:
    return _plan(insn, address, (), falls_through=True)


def _refuse(insn: Insn, address: int) -> Relocation:
    raise _refused(insn, address, insn.row.reason)


def _branch(insn: Insn, address: int) -> Relocation:
    return _plan(insn, address, [Jump(_target(insn, address) | 1)], falls_through=False)


def _call(insn: Insn, address: int) -> Relocation:
    thumb = 0 if insn.row.name.startswith("BLX") else 1  # BLX (immediate) always changes to A32
    steps: list[Step] = [_return_address(insn, address), Jump(_target(insn, address) | thumb)]
    return _plan(insn, address, steps, falls_through=False)


def _compare_branch(insn: Insn, address: int) -> Relocation:
    step = CompareJump(insn.fields["Rn"], bool(insn.fields["op"]), _target(insn, address) | 1)
    return _plan(insn, address, [step], falls_through=True)


def _exchange(insn: Insn, address: int) -> Relocation:
    if insn.fields["Rm"] != _PC:
        return _verbatim(insn, address)
    if address & 2:
        raise _refused(insn, address, f"it goes to 0x{_wrap(address + 4):08x}, which is no place for A32 code")
    return _plan(insn, address, [Jump(_wrap(address + 4))], falls_through=False)


def _call_register(insn: Insn, address: int) -> Relocation:
    returns_to, register = _return_address(insn, address), insn.fields["Rm"]
    if register == _LR:
        steps: list[Step] = [t32.push(1 << _LR), returns_to, t32.pop(1 << _PC)]
    else:
        steps = [returns_to, t32.bx(register)]
    return _plan(insn, address, steps, falls_through=False)


def _address(insn: Insn, address: int) -> Relocation:
    return _plan(insn, address, [Constant(insn.fields["Rd"], literal_address(insn, address))], falls_through=True)


def _literal(insn: Insn, address: int) -> Relocation:
    if not insn.usage.reads >> _PC & 1:
        return _verbatim(insn, address)
    if _reads(insn, address, range(address, address + insn.length)):
        raise _refused(insn, address, "it accesses its own word, where the probe stands")
    place = literal_address(insn, address)
    register = insn.fields.get("Rt")
    if register is None:
        steps: list[Step] = [t32.push(1), Constant(0, place), _load_from(insn, 0), t32.pop(1)]
        return _plan(insn, address, steps, falls_through=True)
    if register not in (_SP, _PC):
        steps = [Constant(register, place), _load_from(insn, register)]
        return _plan(insn, address, steps, falls_through=True)
    if register == _PC and place & 3:
        raise _refused(insn, address, f"it loads PC from 0x{place:08x}, which is not aligned to a word")
    return _with_result(insn, address, [Constant(0, place), t32.ldr(0, 0)], 0, scratch=1, to=register)


def _operands(insn: Insn, address: int) -> Relocation:
    if not insn.usage.reads >> _PC & 1:
        return _verbatim(insn, address)
    operation, fields, pc = insn.row.name.partition("_")[0], insn.fields, _wrap(address + 4)
    destination = fields["Rd"]
    if operation == "MOV":
        if destination == _PC:
            return _plan(insn, address, [Jump(pc | 1)], falls_through=False)
        if destination == _SP:
            return _with_result(insn, address, [Constant(0, pc)], 0, scratch=1, to=_SP)
        return _plan(insn, address, [Constant(destination, pc)], falls_through=True)
    if operation != "ADD":
        raise _refused(insn, address, "it reads PC in a way that another register can't replace")
    # Both operands are the same register or PC: ADD has two.
    other = fields["Rm"] if destination == _PC else destination
    if destination not in (_SP, _PC):
        scratch = 0 if destination else 1
        steps: list[Step] = [
            t32.push(1 << scratch),
            Constant(scratch, pc),
            t32.add(destination, scratch),
            t32.pop(1 << scratch),
        ]
        return _plan(insn, address, steps, falls_through=True)
    scratch = 0 if other else 1
    moved = 8 if other == _SP else 0  # by the push of the scratch register and of room for the result
    steps = [Constant(scratch, _wrap(pc + moved)), t32.add(scratch, other)]
    if destination == _PC:
        steps.append(t32.set_bit_0(scratch))  # it does not change the instruction set
    return _with_result(insn, address, steps, scratch, scratch=1 << scratch, to=destination)


def _table_branch(insn: Insn, address: int) -> Relocation:
    base, index = insn.fields["Rn"], insn.fields["Rm"]
    if _SP in (base, index):
        raise _refused(insn, address, "it uses SP, which scratch registers move")
    entry, origin = [register for register in range(4) if register not in (base, index)][:2]
    steps: list[Step] = []
    if base == _PC:
        steps.append(Constant(origin, _wrap(address + 4)))
    table = origin if base == _PC else base
    steps += [
        t32.load_table_entry(entry, table, index, halfword=bool(insn.fields["H"])),
        Constant(origin, _wrap(address + 4) | 1),
        t32.add_doubled(entry, origin, entry),
    ]
    return _with_result(insn, address, steps, entry, scratch=1 << entry | 1 << origin, to=_PC)


_RELOCATE: dict[str, Callable[[Insn, int], Relocation]] = {
    "verbatim": _verbatim,
    "operands": _operands,
    "literal": _literal,
    "address": _address,
    "branch": _branch,
    "call": _call,
    "compare_branch": _compare_branch,
    "table_branch": _table_branch,
    "exchange": _exchange,
    "call_register": _call_register,
    "drop": _drop,
    "refuse": _refuse,
}


def _with_result(insn: Insn, address: int, steps: Iterable[Step], result: int, *, scratch: int, to: int) -> Relocation:
    """Execute `steps` with scratch registers, of which `result` gets the new value of SP or PC.

    push {scratch..., lr}          lr only makes room for the value
    steps
    str  result, [sp, #...]
    pop  {scratch..., pc}          or: pop {scratch...}; ldr.w sp, [sp]
    """
    at = 4 * scratch.bit_count()
    around: list[Step] = [t32.push(scratch | 1 << _LR), *steps, t32.str_to_stack(result, at)]
    around += [t32.pop(scratch | 1 << _PC)] if to == _PC else [t32.pop(scratch), t32.ldr(_SP, _SP)]
    return _plan(insn, address, around, falls_through=to != _PC)


# Addresses.


def literal_address(insn: Insn, address: int) -> int:
    """The address that a literal load or ADR at `address` computes."""
    fields = insn.fields
    if insn.length == 2:
        offset = 4 * fields["imm8"]
    elif "imm12" in fields:
        offset = fields["imm12"]
    elif "imm3" in fields:
        offset = fields["i"] << 11 | fields["imm3"] << 8 | fields["imm8"]
    else:
        offset = fields["imm8"] * (2 if _literal_size(insn) == 2 else 4)
    below = insn.row.name == "ADR_T2" or not fields.get("U", 1)
    return _wrap((address + 4 & ~3) + (-offset if below else offset))


def literal_span(insn: Insn, address: int) -> tuple[int, int] | None:
    """The [start, end) that an instruction at `address` addresses relative to PC; None if it does not, or not alone.

    Of an address that is only computed it is the word there.
    """
    if insn.row.relocate == "literal" and insn.usage.reads >> _PC & 1:
        place = literal_address(insn, address)
        return place, place + _literal_size(insn)
    if insn.row.relocate == "address":
        place = literal_address(insn, address)
        return place, place + 4
    if insn.row.name == "MOV_register_T1" and insn.fields["Rm"] == _PC:
        return _wrap(address + 4), _wrap(address + 8)
    return None


def _reads(insn: Insn, address: int, code: range) -> bool:
    """Whether a literal load reads any of this code."""
    span = literal_span(insn, address)
    return span is not None and span[0] < code.stop and code.start < span[1]


def _literal_size(insn: Insn) -> int:
    """How many bytes a literal load reads."""
    word = insn.word
    if insn.length == 2:
        return 4
    if word >> 25 == 0x7C:  # bits 22:21 tell byte, halfword and word apart (DDI 0406C A6.3.7 to A6.3.9)
        return 1 << (word >> 21 & 3)
    if word >> 26 == 0x3A and not word >> 25 & 1:
        return 8  # LDRD
    # a coprocessor other than VFP's 9, 10 and 11 decides itself how much it transfers
    return {9: 2, 10: 4, 11: 8}.get(word >> 8 & 15, 64)


def _load_from(insn: Insn, base: int) -> Word:
    """The literal load `insn` from the address in `base`, which for a 16-bit one is also what it loads."""
    if insn.length == 2:
        return Word(0x6800 | base << 3 | base, 2)
    offset = 0xFFF if "imm12" in insn.fields else 0xFF
    return Word(insn.word & ~(15 << 16 | offset) | base << 16 | 1 << 23)


def _return_address(insn: Insn, address: int) -> Constant:
    return Constant(_LR, _wrap(address + insn.length) | 1)


def _target(insn: Insn, address: int) -> int:
    target = insn.target(address)
    assert target is not None, insn.row.name
    return target


def _wrap(address: int) -> int:
    return address & 0xFFFFFFFF
