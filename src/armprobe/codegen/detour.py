"""The code in a slot: the detour, the out-of-line copy, the ways back.

    detour:   save what the handler clobbers and the code after the site still needs
              the handler's body
              restore
    copy:     the displaced instruction, relocated
              the way back to the next instruction
    exits:    restore, and a trap: the compiled part wants the host (only where it can)
    post:     the copy once more, ending in a trap (only where there are post handlers)

A trap at the site goes to the same places: to the detour where there is a compiled part, else to the copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from armprobe.codegen.assembler import LR, SP, Assembler, Code, Label
from armprobe.codegen.body import Body
from armprobe.codegen.rename import rename
from armprobe.errors import Refused
from armprobe.isa.insn import CONDITIONS, REGISTER_NAMES, REGISTER_NUMBERS
from armprobe.isa.liveness import Live
from armprobe.isa.relocate import Relocation
from armprobe.isa.rows import FLAG_BITS

_CONDITION_FLAGS = FLAG_BITS["N"] | FLAG_BITS["Z"] | FLAG_BITS["C"] | FLAG_BITS["V"]
_R12 = 12
#: AAPCS: so many arguments are in registers, the others on the stack
_IN_REGISTERS = 4
#: sources that are registers as they stand; SP has moved, and CPSR is none
_PLAIN = frozenset(REGISTER_NAMES) - {"sp", "pc"}
_CS = 2
_NE = 1


@dataclass(frozen=True, slots=True)
class Handler:
    """The compiled part of a site: a body, the values of its symbols, and what is live at the site."""

    body: Body
    symbols: Mapping[str, int]
    live: Live


@dataclass(frozen=True, slots=True)
class SlotCode:
    """What stands in a slot, and the places in it. Addresses that do not exist are None."""

    code: Code
    #: where the branch at the site goes: the detour, or the copy when there is no compiled part
    entry: int | None
    copy: int
    stop: int | None
    drain: int | None
    post_copy: int | None
    post: int | None
    #: the copy of the second instruction of a two-word window
    second: int | None
    #: instructions a hit adds, at most: the branch at the site, all of the detour, and the way back, less the original
    added: int

    @property
    def base(self) -> int:
        return self.code.base

    @property
    def end(self) -> int:
        return self.code.base + len(self.code.data)

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.end


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a detour saves: the registers it pushes, and the one that keeps CPSR meanwhile."""

    pushed: tuple[int, ...]
    flags: int | None


def build_slot(
    base: int,
    relocations: tuple[Relocation, ...],
    *,
    trap: int,
    handler: Handler | None = None,
    post: bool = False,
    architecture: int = 7,
) -> SlotCode:
    """Assemble the slot of a site at `base`.

    `relocations` are the displaced instructions: one, or the two of a two-word window. `trap` is the word that stops
    the target. Raises Refused for a post handler on an instruction that may write PC.
    """
    asm = Assembler(base, architecture=architecture)
    first, last = relocations[0], relocations[-1]
    after = last.address + last.insn.length
    entry = stop = drain = post_copy = post_trap = None
    added = 0
    skipped, exits = Label("condition false"), Label("the host is wanted")
    if len(relocations) > 1:
        # The window's `ldr pc` has no condition of its own.
        entry = asm.here
        _skip_unless(asm, first, skipped)
    frame = None
    if handler is not None:
        handler = _avoid_saving(handler)
        entry = asm.here if entry is None else entry
        frame = _plan_frame(handler)
        _emit_handler(asm, handler, frame)
        if handler.body.returns:
            _emit_exit_test(asm, exits)
        _emit_restore(asm, frame)
    copy = asm.here
    falls_through, second = _emit_copy(asm, relocations, skipped)
    if falls_through:
        asm.emit_jump(after, f"back to 0x{after:08x}")
    if handler is not None and entry is not None:
        literals = len(handler.body.words) - handler.body.code
        added = 1 + (asm.here - entry) // 4 - literals - len(relocations)
    if handler is not None and frame is not None and handler.body.returns:
        asm.bind(exits)
        stop_restore = Label("host handlers are wanted")
        asm.b(stop_restore, "more than 1: host handlers are wanted", cond=_NE)
        _emit_restore(asm, frame)
        drain = asm.here
        asm.word(trap, "trap: the ring is nearly full")
        asm.bind(stop_restore)
        _emit_restore(asm, frame)
        stop = asm.here
        asm.word(trap, "trap: run the host handlers")
    if post:
        if any(relocation.insn.writes_pc for relocation in relocations):
            raise Refused(
                f"a post handler at 0x{first.address:08x} would never run: the instruction there writes PC",
                hint="put a handler where the branch goes",
            )
        if any("monitor_load" in relocation.insn.row.effects for relocation in relocations):
            raise Refused(
                f"a post handler at 0x{first.address:08x} would stop between a load-exclusive and its store-exclusive, "
                "which would then fail for ever",
                hint="put a handler before the load-exclusive",
            )
        post_copy = asm.here
        _emit_copy(asm, relocations, Label("condition false"))
        post_trap = asm.here
        asm.word(trap, "trap: run the post handlers")
    return SlotCode(asm.finish(), entry, copy, stop, drain, post_copy, post_trap, second, added)


def _emit_copy(asm: Assembler, relocations: tuple[Relocation, ...], skipped: Label) -> tuple[bool, int | None]:
    """Emit the displaced instructions; tell whether control can reach the end, and where the second one stands."""
    falls_through, place = relocations[0].falls_through, None
    asm.emit_steps(relocations[0].steps)
    if len(relocations) > 1:
        asm.bind(skipped)
        place = asm.here
        second = relocations[1]
        end = Label("condition of the second false")
        _skip_unless(asm, second, end)
        asm.emit_steps(second.steps)
        asm.bind(end)
        falls_through = second.falls_through or bool(CONDITIONS[second.insn.cond])
    return falls_through, place


def _skip_unless(asm: Assembler, relocation: Relocation, label: Label) -> None:
    cond = relocation.insn.cond
    if CONDITIONS[cond]:
        asm.b(label, "the instruction's condition", cond=cond ^ 1)


def _avoid_saving(handler: Handler) -> Handler:
    """Let the body use registers that are dead at the site in place of live ones, where it may choose."""
    body, live = handler.body, handler.live
    fixed = {position for position, _ in body.arguments if position < _IN_REGISTERS} | ({0} if body.returns else set())
    taken = {REGISTER_NUMBERS[source] for _, source in body.arguments if source in REGISTER_NUMBERS} | fixed
    dead = [n for n in range(LR + 1) if not live.core >> n & 1 and not body.clobbers >> n & 1 and n not in taken]
    wanted = [n for n in range(LR + 1) if body.clobbers >> n & 1 and live.core >> n & 1 and n not in fixed]
    mapping = tuple(zip(wanted, dead, strict=False))
    renamed = rename(body, mapping) if mapping else None
    return handler if renamed is None else replace(handler, body=renamed)


def _plan_frame(handler: Handler) -> _Frame:
    """Decide what to save: what the body changes and the code after the site may still read."""
    body, live = handler.body, handler.live
    given = {position for position, _ in body.arguments if position < _IN_REGISTERS}
    changed = body.clobbers | sum(1 << position for position, source in body.arguments
                                  if position in given and source != REGISTER_NAMES[position])  # fmt: skip
    if _computed(body):
        changed |= 1 << _R12
    flags = None
    if (body.flags | (_CONDITION_FLAGS if body.returns else 0)) & live.flags:
        # A register the body leaves alone keeps CPSR: two instructions instead of four. A dead one need not be saved.
        free = [n for n in range(LR + 1) if n != SP and not changed >> n & 1 and n not in given]
        flags = min(free, key=lambda n: (live.core >> n & 1, n))
        changed |= 1 << flags
    return _Frame(tuple(n for n in range(LR + 1) if changed >> n & 1 and live.core >> n & 1), flags)


def _computed(body: Body) -> list[tuple[int, str]]:
    """The arguments on the stack that are in no register."""
    return [(position, source) for position, source in body.arguments
            if position >= _IN_REGISTERS and source not in _PLAIN]  # fmt: skip


def _emit_handler(asm: Assembler, handler: Handler, frame: _Frame) -> None:
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


def _emit_argument(asm: Assembler, register: int, source: str, depth: int) -> None:
    if source == "sp":
        asm.add_imm(register, SP, depth, "argument sp")
    elif source == "cpsr":
        asm.mrs(register, "argument cpsr")
    else:
        asm.mov(register, REGISTER_NUMBERS[source], f"argument {source}")


def _emit_exit_test(asm: Assembler, exits: Label) -> None:
    """Leave through `exits` when the body returned 1 (drain the ring) or more (host handlers)."""
    asm.cmp_imm(0, 1, "does the host have to act?")
    asm.b(exits, "yes", cond=_CS)


def _emit_restore(asm: Assembler, frame: _Frame) -> None:
    if frame.flags is not None:
        asm.msr_flags(frame.flags, "restore the flags")
    if frame.pushed:
        asm.pop(frame.pushed, "restore")
