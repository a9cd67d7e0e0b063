"""Carry out a plan on a target, or leave the target as it was.

All bytes to be replaced are compared before the first write, every write is read back, and whatever goes wrong
(an error of the target, Ctrl-C) undoes the steps done so far, last one first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from armprobe.errors import ArmprobeError, InternalError, Refused, TargetError, TargetLost
from armprobe.isa.instruction_set import InstructionSet
from armprobe.patching.plan import (
    ClearTraps,
    MoveThreads,
    PatchPlan,
    SetTraps,
    Step,
    Sync,
    Write,
    merge_ranges,
    plan_patch,
    show,
)
from armprobe.targets.base import Registers, Target, read_all, write_all
from armprobe.targets.capabilities import Breakpoints
from armprobe.targets.journal import Words, note


@dataclass(frozen=True, slots=True)
class PatchedBytes:
    """A site that was changed: what stood there, and what stands there now."""

    address: int
    original: bytes
    ours: bytes
    purpose: str


def execute(plan: PatchPlan, target: Target) -> tuple[PatchedBytes, ...]:
    """Carry out `plan` and return the record of every site, in the order of the plan.

    The caller sees to it that the target stands still when the plan's classification says STOP. A target without
    `code_sync` keeps its code coherent by itself.

    Raises Refused, with nothing written, when a site does not hold the bytes the plan expects; TargetError when a step
    failed: `evidence` lists what could not be undone, and is empty when everything was.
    """
    cleared = [address for step in plan.steps if isinstance(step, ClearTraps) for address in step.addresses]
    try:
        if cleared:
            _breakpoints(target).remove(cleared)
        return _execute(plan, target)
    except BaseException as error:
        if cleared:
            _set_again(target, cleared, error)
        raise


def _execute(plan: PatchPlan, target: Target) -> tuple[PatchedBytes, ...]:
    before = _compare(plan, target)
    _note(plan, target)
    done: list[Step] = []
    moved: list[tuple[int | None, Registers]] = []
    steps: Sequence[Step] = ()
    try:
        for steps in _batches(plan.steps, target):
            done += steps
            _carry_out(steps, target, moved)
    except BaseException as error:
        left = _roll_back(target, done, before, moved)
        if not isinstance(error, ArmprobeError):
            for line in left:
                error.add_note(line)
            raise
        outcome = "not everything could be undone" if left else "everything before it was undone"
        kind = TargetLost if isinstance(error, TargetLost) else TargetError
        first = "" if len(steps) == 1 else f"one of {len(steps)} up to "
        raise kind(
            f"{first}step {len(done)} of {len(plan.steps)} ({done[-1]}) failed: {error}; {outcome}",
            evidence="\n".join(left),
            hint=error.hint,
        ) from error
    return tuple(
        PatchedBytes(step.address, step.before, step.after, step.purpose)
        for step in plan.steps
        if isinstance(step, Write) and step.before is not None
    )


def plan_restore(patched: Iterable[PatchedBytes], *, isa: InstructionSet = InstructionSet.A32) -> PatchPlan:
    """Plan to put back exactly what stood at these sites."""
    return plan_patch(
        [Write(site.address, site.ours, site.original, f"restore: {site.purpose}") for site in patched], isa=isa
    )


def restore(patched: Iterable[PatchedBytes], target: Target, *, isa: InstructionSet = InstructionSet.A32) -> None:
    """Put back exactly what stood at these sites; the target stands still.

    Raises Refused, with nothing written, when one of them no longer holds our bytes.
    """
    execute(plan_restore(patched, isa=isa), target)


def _batches(steps: Sequence[Step], target: Target) -> Iterator[Sequence[Step]]:
    """The steps in order; writes that follow one another together, where the target does many at once."""
    for bulk, group in groupby(steps, key=lambda step: isinstance(step, Write) and target.bulk is not None):
        if bulk:
            yield list(group)
        else:
            for step in group:
                yield [step]


def _carry_out(steps: Sequence[Step], target: Target, moved: list[tuple[int | None, Registers]]) -> None:
    writes = [step for step in steps if isinstance(step, Write)]
    if writes:
        _write(target, [(step.address, step.after) for step in writes])
        return
    match steps[0]:
        case Sync(ranges):
            _synchronize(target, ranges)
        case MoveThreads(moves):
            _move_threads(target, dict(moves), moved)
        case SetTraps(addresses):
            _breakpoints(target).insert(addresses)


def _compare(plan: PatchPlan, target: Target) -> dict[int, bytes]:
    """Read every place the plan writes; refuse if one does not hold what the plan expects."""
    before: dict[int, bytes] = {}
    writes = [step for step in plan.steps if isinstance(step, Write)]
    for step, found in zip(writes, read_all(target, [(step.address, len(step.after)) for step in writes]), strict=True):
        before[step.address] = found
        if step.before is not None and found != step.before:
            raise Refused(
                f"0x{step.address:08x} ({step.purpose}) should hold {show(step.before)} but holds {show(found)}; "
                "nothing was written",
                hint="the program or another debugger changed its code meanwhile",
            )
    return before


def _note(plan: PatchPlan, target: Target) -> None:
    """Have it written down what the code of the program was. What a slot holds is noted by those who know its use."""
    sites = (step for step in plan.steps if isinstance(step, Write))
    words = tuple((site.address, site.before, site.after) for site in sites if site.before is not None)
    if words:
        note(target.journal, Words(words))


def _write(target: Target, writes: Sequence[tuple[int, bytes]]) -> None:
    """Write, and read back. Raises TargetError where memory holds something else then."""
    write_all(target, writes)
    read_back = read_all(target, [(address, len(code)) for address, code in writes])
    for (address, code), found in zip(writes, read_back, strict=True):
        if found != code:
            raise TargetError(
                f"0x{address:08x} should hold {show(code)} after the write but holds {show(found)}",
                hint="is it flash or read-only memory?",
            )


def _breakpoints(target: Target) -> Breakpoints:
    if target.breakpoints is None:
        raise InternalError(f"a plan has {target.name} set traps, which it can't")
    return target.breakpoints


def _set_again(target: Target, addresses: Sequence[int], error: BaseException) -> None:
    """Undo the first step of a plan that failed with `error`."""
    try:
        _breakpoints(target).insert(addresses)
    except BaseException as failure:  # noqa: BLE001
        line = f"the target's traps could not be set again: {_reason(failure)}"
        if isinstance(error, ArmprobeError):
            error.evidence = "\n".join(filter(None, [error.evidence, line]))
        else:
            error.add_note(line)


def _synchronize(target: Target, ranges: tuple[tuple[int, int], ...]) -> None:
    if target.code_sync is not None:
        target.code_sync.synchronize(ranges)


def _move_threads(target: Target, moves: dict[int, int], moved: list[tuple[int | None, Registers]]) -> None:
    """Move the stopped threads; append each one's registers as they were, before they change."""
    threads = target.threads
    for thread in threads.ids() if threads is not None else (None,):
        registers = _read_registers(target, thread)
        destination = moves.get(registers.pc)
        if destination is None:
            continue
        moved.append((thread, registers.copy()))
        registers.pc = destination
        _write_registers(target, thread, registers)


def _read_registers(target: Target, thread: int | None) -> Registers:
    if thread is None or target.threads is None:
        return target.read_registers()
    return target.threads.read_registers(thread)


def _write_registers(target: Target, thread: int | None, registers: Registers) -> None:
    if thread is None or target.threads is None:
        target.write_registers(registers)
    else:
        target.threads.write_registers(thread, registers)


def _roll_back(
    target: Target, done: list[Step], before: dict[int, bytes], moved: list[tuple[int | None, Registers]]
) -> list[str]:
    """Undo what was done, last first; return one line for each thing that could not be undone.

    Any exception counts, a second Ctrl-C too: one place that cannot be restored must not keep the others from it.
    """
    left: list[str] = []
    for traps in [step for step in done if isinstance(step, SetTraps)]:
        try:
            _breakpoints(target).remove(traps.addresses)
        except BaseException as error:  # noqa: BLE001
            left.append(f"not all of the target's traps could be cleared: {_reason(error)}")
    for thread, registers in reversed(moved):
        try:
            _write_registers(target, thread, registers)
        except BaseException as error:  # noqa: BLE001
            whose = "" if thread is None else f" of thread {thread}"
            left.append(f"the PC{whose} could not be set back to 0x{registers.pc:08x}: {_reason(error)}")
    writes = [step for step in done if isinstance(step, Write)]
    for write in reversed(writes):
        original = before[write.address]
        try:
            # A write that failed may have changed nothing at all, as in memory that cannot be written.
            if target.read_memory(write.address, len(original)) != original:
                _write(target, [(write.address, original)])
        except BaseException as error:  # noqa: BLE001
            left.append(f"0x{write.address:08x} ({write.purpose}) held {show(original)}: {_reason(error)}")
    try:
        if writes:
            _synchronize(target, merge_ranges(writes))
    except BaseException as error:  # noqa: BLE001
        left.append(f"the restored code could not be synchronised: {_reason(error)}")
    return left


def _reason(error: BaseException) -> str:
    """What an exception says, or what it is when it says nothing, as KeyboardInterrupt."""
    return str(error) or type(error).__name__
