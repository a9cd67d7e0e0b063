"""The code in a slot: the detour, the out-of-line copy, the ways back.

    detour:   save what the handler clobbers and the code after the site still needs
              the handler's body
              restore
    copy:     the displaced instruction, relocated
              the way back to the next instruction
    body:     restore, save, the handler's body, restore, go to the copy (only where a guard decides, in its place)
    exits:    restore, and a trap: the compiled part wants the host (only where it can)
              or, where the host is asked while the program runs: restore, and ask
    skip:     restore, with the results in their registers, and `bx lr` (only where it can)
    post:     the copy once more, ending in a trap (only where there are post handlers)

A trap at the site goes to the same places: to the detour where there is a compiled part, else to the copy.
"""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.codegen.asking import Question, emit_ask
from armprobe.codegen.assembler import LR, Assembler, Code, Label
from armprobe.codegen.body import SKIPPING, Exit
from armprobe.codegen.common_stop import emit_stop
from armprobe.codegen.frame import Handler, emit_handler, emit_leave, fit, plan_frame
from armprobe.codegen.waiting import Waiting, emit_wait
from armprobe.errors import Refused
from armprobe.isa.insn import CONDITIONS
from armprobe.isa.steps import Relocation


@dataclass(frozen=True, slots=True)
class SlotCode:
    """What stands in a slot, and the places in it. Addresses that do not exist are None."""

    code: Code
    #: where the branch at the site goes: the detour; None when there is neither a compiled part nor one that asks
    entry: int | None
    copy: int
    stop: int | None
    drain: int | None
    post_copy: int | None
    post: int | None
    #: the trap for a ring that is nearly full where the function is skipped, and where that goes on
    drain_and_skip: int | None
    skip: int | None
    #: the copy of the second instruction of a two-word window
    second: int | None
    #: the way back to the next instruction, behind the copy
    way_back: int | None
    #: instructions a hit adds, at most: the branch at the site, all of the detour, and the way back, less the original
    added: int
    #: the same for a hit that the guard of the handler rejects; None without a guard
    rejected: int | None = None
    #: whether the host is asked at `stop`, `drain`, `drain_and_skip` and `post`: there are no traps then
    asks: bool = False
    #: whether a thread that wants to stop at one of the first three does so at the common stop: there are no traps then
    stops_elsewhere: bool = False

    @property
    def base(self) -> int:
        return self.code.base

    @property
    def end(self) -> int:
        return self.code.base + len(self.code.data)

    def __contains__(self, address: int) -> bool:
        return self.base <= address < self.end


def build_slot(
    base: int,
    relocations: tuple[Relocation, ...],
    *,
    trap: int | None,
    handler: Handler | None = None,
    post: bool = False,
    architecture: int = 7,
    waiting: Waiting | None = None,
    question: Question | None = None,
    common_stop: int | None = None,
) -> SlotCode:
    """Assemble the slot of a site at `base`.

    `relocations` are the displaced instructions: one, or the two of a two-word window. `trap` is the word that stops
    the target; None: it stops by traps of its own, which a child that the program forks does not have: there, the code
    goes on. With a `common_stop`, it stops there alone, but for post handlers. With a `question`, the code asks the
    host instead, and there is no trap in the slot; where there is no handler, it asks at once. With `waiting`, a ring
    that is nearly full is no reason to stop. Raises Refused for a post handler on an instruction that may write PC.
    """
    asm = Assembler(base, architecture=architecture)
    first, last = relocations[0], relocations[-1]
    after = last.address + last.insn.length
    entry = stop = drain = post_copy = post_trap = drain_and_skip = skip = None
    added = 0
    rejected = None
    skipped, holds = Label("condition false"), Label("the condition of the handler holds")
    exits = {Exit.DRAIN: Label("the ring is nearly full"), Exit.STOP: Label("the host is wanted"),
             Exit.DRAIN_AND_SKIP: Label("the ring is nearly full; then skip"), Exit.SKIP: Label("skip")}  # fmt: skip
    if len(relocations) > 1:
        # The window's `ldr pc` has no condition of its own.
        entry = asm.here
        _skip_unless(asm, first, skipped)
    body, guard = (handler.body, handler.guard) if handler is not None else (None, None)
    frame = guard_frame = None
    start = asm.here
    if handler is not None and body is not None:
        body = fit(body, handler.live)
        frame = plan_frame(body, handler.live)
        entry = start if entry is None else entry
        if guard is not None:
            guard = fit(guard, handler.live)
            guard_frame = plan_frame(guard, handler.live)
            emit_handler(asm, guard, handler.symbols, guard_frame, {Exit.HOLDS: holds})
            decided = asm.here
            emit_leave(asm, guard, guard_frame)
        else:
            emit_handler(asm, body, handler.symbols, frame, exits)
            emit_leave(asm, body, frame)
    elif question is not None and (question.first or len(relocations) > 1):
        stop = asm.here
        entry = start if entry is None else entry
        emit_ask(asm, question)
    copy = asm.here
    falls_through, second = _emit_copy(asm, relocations, skipped)
    way_back = asm.here if falls_through else None
    if falls_through:
        asm.emit_jump(after, f"back to 0x{after:08x}")
    if handler is not None and body is not None and frame is not None:
        added = 1 + (asm.here - start) // 4 - len(relocations)
        literals = len(body.words) - body.code
        if guard is not None and guard_frame is not None:
            rejected = added - (len(guard.words) - guard.code)
            added -= (copy - decided) // 4
            literals += len(guard.words) - guard.code
            begin = asm.here
            asm.bind(holds)
            emit_leave(asm, guard, guard_frame)
            emit_handler(asm, body, handler.symbols, frame, exits)
            emit_leave(asm, body, frame)
            asm.b(copy, "the displaced instruction")
            added += (asm.here - begin) // 4
        added -= literals
        places: dict[Exit, int] = {}
        wanted = {way for _, way in body.exits}
        for way, label in exits.items():
            if way in wanted:
                asm.bind(label)
                emit_leave(asm, body, frame, results=way in SKIPPING)
                if way in SKIPPING:
                    if way is Exit.DRAIN_AND_SKIP and waiting is not None:
                        emit_wait(asm, waiting)
                    elif way is Exit.DRAIN_AND_SKIP:
                        if common_stop is not None:
                            emit_stop(asm, common_stop)
                        places[way] = asm.here
                        if question is not None:
                            emit_ask(asm, question, counts=False)
                        elif trap is not None:
                            asm.word(trap, f"trap: {label.name}")
                        else:
                            asm.bx(LR, f"trap: {label.name}")
                        skip = asm.here
                    asm.bx(LR, "to the caller: the function is skipped")
                    continue
                if way is Exit.DRAIN and waiting is not None:
                    emit_wait(asm, waiting)
                    asm.b(copy, "the displaced instruction")
                    continue
                if common_stop is not None:
                    emit_stop(asm, common_stop)
                places[way] = asm.here
                if question is not None:
                    emit_ask(asm, question, counts=way is Exit.STOP)
                    asm.b(copy, "the displaced instruction")
                elif trap is not None:
                    asm.word(trap, f"trap: {label.name}")
                else:
                    asm.b(copy, f"trap: {label.name}")
        drain, stop, drain_and_skip = (places.get(way) for way in (Exit.DRAIN, Exit.STOP, Exit.DRAIN_AND_SKIP))
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
        if question is not None:
            emit_ask(asm, question, counts=entry is None)
            asm.emit_jump(after)
            entry = post_copy if entry is None else entry
        elif trap is not None:
            asm.word(trap, "trap: run the post handlers")
        else:
            asm.emit_jump(after, "trap: run the post handlers")
    return SlotCode(
        asm.finish(),
        entry,
        copy,
        stop,
        drain,
        post_copy,
        post_trap,
        drain_and_skip,
        skip,
        second,
        way_back,
        added,
        rejected,
        question is not None,
        common_stop is not None,
    )


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
