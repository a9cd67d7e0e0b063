"""What stands around the code of a compiled handler: save, arguments, the ways out, restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from armprobe.codegen.assembler import LR, SP, Assembler, Label
from armprobe.codegen.body import Body, Exit
from armprobe.codegen.rename import read_in_place, rename
from armprobe.isa.insn import REGISTER_NAMES, REGISTER_NUMBERS
from armprobe.isa.liveness import Live

_R12 = 12
#: AAPCS: so many arguments are in registers, the others on the stack
_IN_REGISTERS = 4
#: sources that are registers as they stand; SP has moved, and CPSR is none
_PLAIN = frozenset(REGISTER_NAMES) - {"sp", "pc"}
#: where a body that links leaves the value for LR
_LINK = 0


@dataclass(frozen=True, slots=True)
class Handler:
    """The compiled part of a site: a body, the values of its symbols, and what is live at the site.

    With a `guard`, the body runs where that leaves by its exit HOLDS.
    """

    body: Body
    symbols: Mapping[str, int]
    live: Live
    guard: Body | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What a detour saves: the registers it pushes, and the one that keeps CPSR meanwhile.

    Where the body leaves no register alone, CPSR goes to the stack as well (`stacks_flags`), through a register that is
    pushed.
    """

    pushed: tuple[int, ...]
    flags: int | None
    stacks_flags: bool = False


def fit(body: Body, live: Live) -> Body:
    """Let the body use other registers where it may choose: those its arguments are in, and those dead at the site."""
    if body.called:
        return body  # what a call takes, gives and changes is in registers of its own
    body = read_in_place(body)
    fixed = {position for position, _ in body.arguments if position < _IN_REGISTERS}
    fixed |= set(range(body.given))
    taken = {REGISTER_NUMBERS[source] for _, source in body.arguments if source in REGISTER_NUMBERS} | fixed
    unused = ~(live.core | body.clobbers | body.in_place)
    dead = [n for n in range(LR + 1) if unused >> n & 1 and n not in taken]
    wanted = [n for n in range(LR + 1) if body.clobbers & live.core & ~body.in_place & 1 << n and n not in fixed]
    mapping = tuple(zip(wanted, dead, strict=False))
    renamed = rename(body, mapping) if mapping else None
    return body if renamed is None else renamed


def plan_frame(body: Body, live: Live) -> Frame:
    """Decide what to save: what the body changes and the code after the site may still read."""
    given = sum(1 << position for position, _ in body.arguments if position < _IN_REGISTERS) | body.in_place
    changed = body.clobbers | sum(1 << position for position, source in body.arguments
                                  if position < _IN_REGISTERS and source != REGISTER_NAMES[position])  # fmt: skip
    if _computed(body):
        changed |= 1 << _R12
    kept = {SP}
    if body.links and body.skips:
        changed |= 1 << LR  # where it skips, LR is as before
    elif body.links:
        kept |= {LR}  # it changes for good
    flags, stacks_flags = None, False
    if body.flags & live.flags:
        # A register the body leaves alone keeps CPSR: two instructions instead of four. A dead one need not be saved.
        free = [n for n in range(LR + 1) if n not in kept and not (changed | given) >> n & 1]
        flags = min(free, key=lambda n: (live.core >> n & 1, n), default=None)
        changed |= 0 if flags is None else 1 << flags
        stacks_flags = flags is None
    pushed = tuple(n for n in range(LR + 1) if changed >> n & 1 and live.core >> n & 1 and n not in kept)
    if stacks_flags:
        pushed = pushed or (_R12,)
        flags = min(pushed, key=lambda n: (_needs(body, n), n))
    return Frame(pushed, flags, stacks_flags)


def _needs(body: Body, register: int) -> bool:
    """Whether the body, or the setting of its arguments, reads the register as it is at the site."""
    sources = {REGISTER_NUMBERS.get(source) for _, source in body.arguments}
    return bool(body.in_place >> register & 1) or register in sources


def _computed(body: Body) -> list[tuple[int, str]]:
    """The arguments on the stack that are in no register."""
    return [(position, source) for position, source in body.arguments
            if position >= _IN_REGISTERS and source not in _PLAIN]  # fmt: skip


def emit_handler(
    asm: Assembler, body: Body, symbols: Mapping[str, int], frame: Frame, exits: Mapping[Exit, Label]
) -> None:
    """Emit all from the saving to the end of the body, whose exits go to labels; `emit_leave` must follow at each."""
    if frame.pushed:
        asm.push(frame.pushed, "save " + ", ".join(REGISTER_NAMES[n] for n in frame.pushed))
    stacked = _stacked(body)
    depth = 4 * len(frame.pushed) + stacked
    if frame.stacks_flags and frame.flags is not None:
        asm.mrs(frame.flags, "save the flags")
        asm.push((frame.flags,))
        if _needs(body, frame.flags):
            asm.ldr(frame.flags, SP, 4 + 4 * frame.pushed.index(frame.flags))
        depth += 4
    if stacked:
        asm.sub_imm(SP, SP, stacked, "room for arguments")
    # Registers first: the rest may then use r12.
    for position, source in body.arguments:
        if source in _PLAIN and position >= _IN_REGISTERS:
            asm.str_(REGISTER_NUMBERS[source], SP, 4 * (position - _IN_REGISTERS), f"argument {source}")
    for position, source in body.arguments:
        if position < _IN_REGISTERS and source != REGISTER_NAMES[position]:
            _emit_argument(asm, position, source, depth)
    for position, source in _computed(body):
        _emit_argument(asm, _R12, source, depth)
        asm.str_(_R12, SP, 4 * (position - _IN_REGISTERS))
    if frame.flags is not None and not frame.stacks_flags:
        asm.mrs(frame.flags, "save the flags")
    (words, called), start = body.link(symbols), 0
    for index, way in sorted([*body.exits, *((index, None) for index in called)], key=lambda place: place[0]):
        asm.block(words[start:index], "handler")
        if way is None:
            asm.call(called[index], "handler", cond=words[index] >> 28)
        else:
            asm.b(exits[way], exits[way].name, cond=words[index] >> 28)
        start = index + 1
    asm.block(words[start : body.code], "handler")
    asm.block(words[body.code :], "handler", data=True)


def emit_leave(asm: Assembler, body: Body, frame: Frame, *, results: bool = False) -> None:
    """Emit what follows the end of a body, and each of its exits; with `results`, those are in registers then."""
    if stacked := _stacked(body):
        asm.add_imm(SP, SP, stacked, "drop the arguments")
    above = 4 * frame.stacks_flags
    if results:
        for number in range(body.results):
            asm.str_(number, SP, above + 4 * frame.pushed.index(number), "the result")
    elif body.links and LR in frame.pushed:
        asm.str_(_LINK, SP, above + 4 * frame.pushed.index(LR), "the return address from now on")
    elif body.links:
        asm.mov(LR, _LINK, "the return address from now on")
    elif body.called and body.clobbers >> LR & 1 and LR not in frame.pushed:
        # Nobody needs it. It would look like the PC of a task that comes back here.
        asm.mov_imm(LR, 0, "no address of a slot")
    if frame.stacks_flags and frame.flags is not None:
        asm.pop((frame.flags,))
    if frame.flags is not None:
        asm.msr_flags(frame.flags, "restore the flags")
    if frame.pushed:
        asm.pop(frame.pushed, "restore")


def _stacked(body: Body) -> int:
    """The bytes of arguments on the stack."""
    return 4 * sum(position >= _IN_REGISTERS for position, _ in body.arguments)


def _emit_argument(asm: Assembler, register: int, source: str, depth: int) -> None:
    if source == "sp":
        asm.add_imm(register, SP, depth, "argument sp")
    elif source == "cpsr":
        asm.mrs(register, "argument cpsr")
    else:
        asm.mov(register, REGISTER_NUMBERS[source], f"argument {source}")
