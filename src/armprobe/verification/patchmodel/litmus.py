"""The cache model against published litmus shapes of instruction fetch in AArch64.

There is no such suite for A32 and T32. The caches are the same, though, so that the shapes calibrate `memory`: whatever
the architecture allows, the model must allow. Verdicts: the catalogue aarch64-ifetch of herdtools7 for the weakest CTR
(no IDC, no DIC), and Simner et al., "ARMv8-A System Semantics: Instruction Fetch in Relaxed Architectures" (ESOP 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from armprobe.verification.patchmodel import memory
from armprobe.verification.patchmodel.memory import Memory, View


class Op(Enum):
    """What a thread of a shape does with a cell, X, Y or Z."""

    WRITE = "W"  # of 1; everything is 0 at first
    READ = "R"  # as data
    FETCH = "F"
    DC = "dc"
    IC = "ic"
    DSB = "dsb"
    ISB = "isb"


Step = tuple[Op, int]
#: cells; control and address dependencies order nothing more here, for a thread of the model runs in order
X, Y, Z = 0, 1, 2
_NO_CELL = -1
_DSB, _ISB = (Op.DSB, _NO_CELL), (Op.ISB, _NO_CELL)
_DC, _IC = (Op.DC, X), (Op.IC, X)
_CACHESYNC = (_DC, _DSB, _IC, _DSB)


@dataclass(frozen=True, slots=True)
class Shape:
    """Threads, and what their reads and fetches return, in order: does the architecture allow that?"""

    name: str
    threads: tuple[tuple[Step, ...], ...]
    returns: tuple[tuple[int, ...], ...]
    allowed: bool


def _self(name: str, *between: Step, allowed: bool) -> Shape:
    """SM: a thread writes code, and fetches what was there before."""
    return Shape(f"SM.B+{name}", (((Op.WRITE, X), *between, (Op.FETCH, X)),), ((0,),), allowed)


def _message(name: str, *writer: Step, reader: tuple[Step, ...] = (), kinds: str = "RF", allowed: bool) -> Shape:
    """MP: the other thread sees the message Y, but not the X before it."""
    first = Op.READ if kinds[0] == "R" else Op.FETCH
    second = Op.READ if kinds[1] == "R" else Op.FETCH
    threads = (((Op.WRITE, X), *writer, (Op.WRITE, Y)), ((first, Y), *reader, (second, X)))
    return Shape(name, threads, ((), (1, 0)), allowed)


_WRITE_X = ((Op.WRITE, X),)

SHAPES = (
    _self("isb", _ISB, allowed=True),
    _self("dsb.ish-isb", _DSB, _ISB, allowed=True),
    _self("dc-dsb-isb", _DC, _DSB, _ISB, allowed=True),
    _self("dsb-ic-dsb-isb", _DSB, _IC, _DSB, _ISB, allowed=True),
    _self("badcachesync-isb", _IC, _DSB, _DC, _DSB, _ISB, allowed=True),
    _self("cachesync-isb", *_CACHESYNC, _ISB, allowed=False),
    Shape("coFF", (_WRITE_X, ((Op.FETCH, X), (Op.FETCH, X))), ((), (1, 0)), allowed=True),
    Shape("coFF+cachesync", (_WRITE_X, ((Op.FETCH, X), *_CACHESYNC, (Op.FETCH, X))), ((), (1, 0)), allowed=False),
    Shape("coFR", (_WRITE_X, ((Op.FETCH, X), (Op.READ, X))), ((), (1, 0)), allowed=False),
    Shape("coRF+ctrlisb", (_WRITE_X, ((Op.READ, X), _ISB, (Op.FETCH, X))), ((), (1, 0)), allowed=True),
    _message("MP.RF+dmb.st+ctrlisb", reader=(_ISB,), allowed=True),
    _message("MP.RF+dsb-ic-dsb+ctrlisb", _DSB, _IC, _DSB, reader=(_ISB,), allowed=True),
    _message("MP.RF+dmb.st+ctrlisb-ic-dsb-isb", reader=(_ISB, _IC, _DSB, _ISB), allowed=True),
    _message("MP.RF+cachesync+ctrlisb", *_CACHESYNC, reader=(_ISB,), allowed=False),
    _message("MP.RF+cachesync+dsb-isb", *_CACHESYNC, reader=(_DSB, _ISB), allowed=False),
    _message("MP.RF+dc-dsb+ctrlisb-ic-dsb-isb", _DC, _DSB, reader=(_ISB, _IC, _DSB, _ISB), allowed=False),
    _message("MP.RF+dmb.st+ctrlisb-cachesync-isb", reader=(_ISB, *_CACHESYNC, _ISB), allowed=False),
    _message("MP.RF+cachesync+switch-ctrl", *_CACHESYNC, allowed=True),
    _message("MP.RF+cachesync+addr", *_CACHESYNC, allowed=True),
    _message("miniJit01", *_CACHESYNC, _ISB, allowed=True),
    _message("miniJit02", *_CACHESYNC, _ISB, reader=(_ISB,), allowed=False),
    _message("MP.FF+dmb.st+po", kinds="FF", allowed=True),
    _message("MP.FF+dc-dsb+po", _DC, _DSB, kinds="FF", allowed=True),
    _message("MP.FF+cachesync+po", *_CACHESYNC, kinds="FF", allowed=False),
    _message("MP.FR+dmb.st+po", kinds="FR", allowed=False),
    Shape(
        "ISA2.F+dc+ic",
        (
            (*_WRITE_X, _DC, _DSB, (Op.WRITE, Y)),
            ((Op.READ, Y), _IC, _DSB, (Op.WRITE, Z)),
            ((Op.READ, Z), _ISB, (Op.FETCH, X)),
        ),
        ((), (1,), (1, 0)),
        allowed=False,
    ),
)

#: shapes for which the model allows more than the architecture: it then asks for a CSE that could be left out
WEAKER = {
    "coFF+cachesync": "IC does not discard what a core has prefetched, so that a CSE is needed after it",
    "MP.FF+cachesync+po": "fetching a later write does not imply that earlier ones are fetched, without a CSE",
}


class _Thread(NamedTuple):
    """`issued` is the maintenance that the next DSB waits for."""

    at: int
    returned: tuple[int, ...]
    issued: frozenset[Step]
    view: View


class _State(NamedTuple):
    memory: Memory
    threads: tuple[_Thread, ...]


def observable(shape: Shape) -> bool:
    """Whether some run of the model ends with the values that the shape asks about."""
    shared, view = memory.initial((0, 0, 0))
    first = _State(shared, tuple(_Thread(0, (), frozenset(), view) for _ in shape.threads))
    seen = {first}
    stack = [first]
    while stack:
        state = stack.pop()
        if tuple(thread.returned for thread in state.threads) == shape.returns:
            return True
        for after in _successors(shape, state):
            if after not in seen:
                seen.add(after)
                stack.append(after)
    return False


def _successors(shape: Shape, state: _State) -> Iterator[_State]:
    for _, cleaned in memory.cleaned(state.memory):
        yield state._replace(memory=cleaned)
    for number, thread in enumerate(state.threads):
        for _, view in memory.invalidated(thread.view, state.memory):
            yield _with(state, number, thread._replace(view=view))
        if thread.at < len(shape.threads[number]):
            yield from _do(state, number, *shape.threads[number][thread.at])


def _with(state: _State, number: int, thread: _Thread) -> _State:
    return state._replace(threads=(*state.threads[:number], thread, *state.threads[number + 1 :]))


def _do(state: _State, number: int, op: Op, cell: int) -> Iterator[_State]:
    thread = state.threads[number]._replace(at=state.threads[number].at + 1)
    after = _with(state, number, thread)
    match op:
        case Op.WRITE:
            views = [memory.see_store(each.view, cell, 1) for each in after.threads]
            threads = tuple(each._replace(view=view) for each, view in zip(after.threads, views, strict=True))
            yield _State(memory.store(state.memory, cell, 1), threads)
        case Op.READ:
            yield _with(after, number, thread._replace(returned=(*thread.returned, state.memory.newest[cell])))
        case Op.FETCH:
            for value in sorted(thread.view.queued[cell]):
                yield _with(after, number, thread._replace(returned=(*thread.returned, value)))
        case Op.DC:
            issued = _with(after, number, thread._replace(issued=thread.issued | {(op, cell)}))
            yield issued._replace(memory=memory.begin_clean(state.memory, cell))
        case Op.IC:
            threads = _with(after, number, thread._replace(issued=thread.issued | {(op, cell)})).threads
            yield after._replace(
                threads=tuple(each._replace(view=memory.begin_invalidate(each.view, cell)) for each in threads)
            )
        case Op.DSB:
            invalidating = frozenset[int]().union(*(each.view.invalidating for each in state.threads))
            pending = {(Op.DC, cell) for cell in state.memory.cleaning} | {(Op.IC, cell) for cell in invalidating}
            if not thread.issued & pending:
                yield _with(after, number, thread._replace(issued=frozenset()))
        case Op.ISB:
            yield _with(after, number, thread._replace(view=memory.context_synchronized(thread.view)))
