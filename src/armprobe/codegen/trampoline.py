"""The code of a trampoline: one pad for each call that may be in progress, and what all pads do.

pads:     str lr, [sp, #-8]!; bl common      or a trap, where the host handles returns
common:   save what the handler clobbers
          the handler's body: it puts the return address above LR on the stack
          restore
          pop {lr, pc}
exits:    restore, and a trap: the ring is nearly full

Where the host handles returns and is asked for that, `common` begins with a question.
"""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.codegen.asking import Question, emit_ask_at_pad
from armprobe.codegen.assembler import LR, PC, Assembler, Code, Label
from armprobe.codegen.body import Exit
from armprobe.codegen.calls import ENTRY
from armprobe.codegen.common_stop import emit_stop
from armprobe.codegen.frame import Handler, emit_handler, emit_leave, plan_frame
from armprobe.codegen.waiting import Waiting, emit_wait
from armprobe.isa.liveness import EVERYTHING_LIVE

#: LR is on the stack already
LIVE_AT_RETURN = EVERYTHING_LIVE._replace(core=EVERYTHING_LIVE.core & ~(1 << LR))


@dataclass(frozen=True, slots=True)
class TrampolineCode:
    """What stands in a trampoline. `drain` is a trap, after which `way_back` goes on; None when there is none.

    With `asks`, pads ask the host, and code gives them back.
    """

    code: Code
    drain: int | None = None
    way_back: int | None = None
    asks: bool = False
    #: whether a thread for which the ring is nearly full stops at the common stop: `drain` is no trap then
    stops_elsewhere: bool = False


def build_trampoline(
    base: int,
    size: int,
    *,
    trap: int,
    handler: Handler | None,
    unseen: Handler | None = None,
    architecture: int = 7,
    waiting: Waiting | None = None,
    question: Question | None = None,
    common_stop: int | None = None,
) -> TrampolineCode:
    """Assemble `size` pads at `base`. Without a handler they are traps; others are as for `build_slot`.

    Where the target sets traps by itself, `unseen` is the handler for those who find none at a pad. With a
    `question`, pads ask the host, and none is a trap.
    """
    if handler is None and unseen is not None:
        code = build_trampoline(base, size, trap=trap, handler=unseen, architecture=architecture, question=question)
        return TrampolineCode(code.code, asks=question is not None)
    asm = Assembler(base, architecture=architecture)
    if handler is None:
        for _ in range(size):
            with asm.exactly(ENTRY):
                asm.word(trap, "trap: a call came back")
                asm.word(trap)
        return TrampolineCode(asm.finish())
    common = Label("a call came back")
    for number in range(1, size + 1):
        with asm.exactly(ENTRY):
            asm.push_below(LR, 8, f"pad {number}")
            asm.bl(common)
    asm.bind(common)
    if question is not None:
        emit_ask_at_pad(asm, question)
    body, full = handler.body, Label("the ring is nearly full")
    frame = plan_frame(body, handler.live)
    emit_handler(asm, body, handler.symbols, frame, {Exit.DRAIN: full})
    emit_leave(asm, body, frame, results=True)
    way_back = asm.here
    asm.pop((LR, PC), "back to the caller")
    drain = None
    if body.exits:
        asm.bind(full)
        emit_leave(asm, body, frame, results=True)
        if waiting is not None:
            emit_wait(asm, waiting)
            asm.b(way_back, "back to the caller")
        elif common_stop is not None:
            emit_stop(asm, common_stop)
            drain = asm.here
            asm.b(way_back, "back to the caller")
        else:
            drain = asm.here
            asm.word(trap, "trap: the ring is nearly full")
    return TrampolineCode(asm.finish(), drain, way_back, stops_elsewhere=common_stop is not None)
