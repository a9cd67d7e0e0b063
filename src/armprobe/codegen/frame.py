"""What stands around the code of a compiled handler: save, arguments, the test whether the host is wanted, restore."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from armprobe.codegen.assembler import LR, SP, Assembler, Label
from armprobe.codegen.body import Body
from armprobe.codegen.rename import rename
from armprobe.isa.insn import REGISTER_NAMES, REGISTER_NUMBERS
from armprobe.isa.liveness import Live
from armprobe.isa.rows import FLAG_BITS

_CONDITION_FLAGS = FLAG_BITS["N"] | FLAG_BITS["Z"] | FLAG_BITS["C"] | FLAG_BITS["V"]
_R12 = 12
#: AAPCS: so many arguments are in registers, the others on the stack
_IN_REGISTERS = 4
#: sources that are registers as they stand; SP has moved, and CPSR is none
_PLAIN = frozenset(REGISTER_NAMES) - {"sp", "pc"}
_CS = 2
#: where a body that links leaves the value for LR
_LINK = 1


@dataclass(frozen=True, slots=True)
class Handler:
    """The compiled part of a site: a body, the values of its symbols, and what is live at the site."""

    body: Body
    symbols: Mapping[str, int]
    live: Live


@dataclass(frozen=True, slots=True)
class Frame:
    """What a detour saves: the registers it pushes, and the one that keeps CPSR meanwhile."""

    pushed: tuple[int, ...]
    flags: int | None


def avoid_saving(handler: Handler) -> Handler:
    """Let the body use registers that are dead at the site in place of live ones, where it may choose."""
    body, live = handler.body, handler.live
    fixed = {position for position, _ in body.arguments if position < _IN_REGISTERS} | ({0} if body.returns else set())
    fixed |= {_LINK} if body.links else set()
    taken = {REGISTER_NUMBERS[source] for _, source in body.arguments if source in REGISTER_NUMBERS} | fixed
    dead = [n for n in range(LR + 1) if not live.core >> n & 1 and not body.clobbers >> n & 1 and n not in taken]
    wanted = [n for n in range(LR + 1) if body.clobbers >> n & 1 and live.core >> n & 1 and n not in fixed]
    mapping = tuple(zip(wanted, dead, strict=False))
    renamed = rename(body, mapping) if mapping else None
    return handler if renamed is None else replace(handler, body=renamed)


def plan_frame(handler: Handler) -> Frame:
    """Decide what to save: what the body changes and the code after the site may still read."""
    body, live = handler.body, handler.live
    given = {position for position, _ in body.arguments if position < _IN_REGISTERS}
    changed = body.clobbers | sum(1 << position for position, source in body.arguments
                                  if position in given and source != REGISTER_NAMES[position])  # fmt: skip
    if _computed(body):
        changed |= 1 << _R12
    # A body that links changes LR for good.
    kept = {SP, LR} if body.links else {SP}
    flags = None
    if (body.flags | (_CONDITION_FLAGS if body.returns else 0)) & live.flags:
        # A register the body leaves alone keeps CPSR: two instructions instead of four. A dead one need not be saved.
        free = [n for n in range(LR + 1) if n not in kept and not changed >> n & 1 and n not in given]
        flags = min(free, key=lambda n: (live.core >> n & 1, n))
        changed |= 1 << flags
    return Frame(tuple(n for n in range(LR + 1) if changed >> n & 1 and live.core >> n & 1 and n not in kept), flags)


def _computed(body: Body) -> list[tuple[int, str]]:
    """The arguments on the stack that are in no register."""
    return [(position, source) for position, source in body.arguments
            if position >= _IN_REGISTERS and source not in _PLAIN]  # fmt: skip


def emit_handler(asm: Assembler, handler: Handler, frame: Frame) -> None:
    body = handler.body
    if frame.pushed:
        asm.push(frame.pushed, "save " + ", ".join(REGISTER_NAMES[n] for n in frame.pushed))
    stacked = 4 * sum(position >= _IN_REGISTERS for position, _ in body.arguments)
    depth = 4 * len(frame.pushed) + stacked
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
    if frame.flags is not None:
        asm.mrs(frame.flags, "save the flags")
    for index, word in enumerate(body.link(handler.symbols)):
        asm.word(word, "handler", data=index >= body.code)
    if stacked:
        asm.add_imm(SP, SP, stacked, "drop the arguments")
    if body.links:
        asm.mov(LR, _LINK, "the return address from now on")


def _emit_argument(asm: Assembler, register: int, source: str, depth: int) -> None:
    if source == "sp":
        asm.add_imm(register, SP, depth, "argument sp")
    elif source == "cpsr":
        asm.mrs(register, "argument cpsr")
    else:
        asm.mov(register, REGISTER_NUMBERS[source], f"argument {source}")


def emit_exit_test(asm: Assembler, exits: Label) -> None:
    """Leave through `exits` when the body returned 1 (drain the ring) or more (host handlers)."""
    asm.cmp_imm(0, 1, "does the host have to act?")
    asm.b(exits, "yes", cond=_CS)


def emit_restore(asm: Assembler, frame: Frame) -> None:
    if frame.flags is not None:
        asm.msr_flags(frame.flags, "restore the flags")
    if frame.pushed:
        asm.pop(frame.pushed, "restore")
