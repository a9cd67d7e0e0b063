"""Patches as data: what is written where, in which order, and whether the target must stand still meanwhile.

The order is fixed by `plan_patch`: new code is complete and synchronised before any site can reach it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from armprobe.errors import UsageError
from armprobe.isa.instruction_set import InstructionSet
from armprobe.patching.classify import Change, Classification, classify

#: how traps change that the target sets by itself
TRAPS_OF_THE_TARGET = Classification(Change.STOP, "the target changes its own traps only while stopped")
_ADDRESS_SPACE = 1 << 32
#: addresses that one line of a listing names
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Write:
    """Replace `before` by `after` at `address`. New code in a slot has no `before`: whatever is there may go."""

    address: int
    before: bytes | None
    after: bytes
    purpose: str

    @property
    def end(self) -> int:
        return self.address + len(self.after)

    def __str__(self) -> str:
        if self.before is None:
            return f"write {len(self.after)} bytes at 0x{self.address:08x} ({self.purpose})"
        return f"change 0x{self.address:08x} from {show(self.before)} to {show(self.after)} ({self.purpose})"


@dataclass(frozen=True, slots=True)
class Sync:
    """Make the code in these [start, end) ranges visible to instruction fetch."""

    ranges: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        ranges = ", ".join(f"0x{start:08x}..0x{end:08x}" for start, end in self.ranges[:_SHOWN])
        return f"synchronise {ranges}{_more(self.ranges)}"


@dataclass(frozen=True, slots=True)
class MoveThreads:
    """Move every stopped thread whose PC is a key of `moves` to the address that belongs to it."""

    moves: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return "move threads " + ", ".join(f"from 0x{old:08x} to 0x{new:08x}" for old, new in self.moves)


@dataclass(frozen=True, slots=True)
class ClearTraps:
    """Take away traps that the target set by itself: the first step of a plan, as memory may show them."""

    addresses: tuple[int, ...]

    def __str__(self) -> str:
        return "clear the target's traps at " + _some(self.addresses)


@dataclass(frozen=True, slots=True)
class SetTraps:
    """Have the target set traps by itself: the last step of a plan, as it may write them over what stands there."""

    addresses: tuple[int, ...]

    def __str__(self) -> str:
        return "have the target set traps at " + _some(self.addresses)


Step = Write | Sync | MoveThreads | ClearTraps | SetTraps


@dataclass(frozen=True, slots=True)
class PatchPlan:
    """Steps in the order they are done, and how the sites among them may change; `str()` is a numbered listing."""

    steps: tuple[Step, ...]
    classification: Classification

    def __str__(self) -> str:
        lines = [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join([*lines, str(self.classification)])


def plan_patch(
    sites: Iterable[Write],
    *,
    new_code: Iterable[Write] = (),
    moves: Iterable[tuple[int, int]] = (),
    clear_traps: Iterable[int] = (),
    set_traps: Iterable[int] = (),
    isa: InstructionSet = InstructionSet.A32,
) -> PatchPlan:
    """Order one batch: new code, synchronise, sites, threads, synchronise.

    `sites` replace whole instructions of the program, `new_code` fills slots that nothing reaches yet, `moves` says
    where a thread goes on that was stopped between the instructions of a window. `clear_traps` and `set_traps` are for
    a target that sets traps by itself (`Target.breakpoints`).
    Raises UsageError for a misaligned, overlapping or ill-sized write.
    """
    sites, new_code, moves = tuple(sites), tuple(new_code), tuple(moves)
    _check(sites, new_code)
    clear_traps, set_traps = tuple(clear_traps), tuple(set_traps)
    steps: list[Step] = [ClearTraps(clear_traps)] if clear_traps else []
    steps += new_code
    if new_code:
        steps.append(Sync(merge_ranges(new_code)))
    steps += sites
    if moves:
        steps.append(MoveThreads(moves))
    if sites:
        steps.append(Sync(merge_ranges(sites)))
    if set_traps:
        steps.append(SetTraps(set_traps))
    if clear_traps or set_traps:
        return PatchPlan(tuple(steps), TRAPS_OF_THE_TARGET)
    return PatchPlan(tuple(steps), _classify_sites(sites, isa))


def merge_ranges(writes: Sequence[Write]) -> tuple[tuple[int, int], ...]:
    """The [start, end) ranges that the writes cover, ascending, touching ones joined."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted((write.address, write.end) for write in writes):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def show(code: bytes) -> str:
    """Code bytes as instruction words, or as bytes when they are not whole words."""
    if len(code) % 4:
        return code.hex(" ")
    return " ".join(f"0x{int.from_bytes(code[i : i + 4], 'little'):08x}" for i in range(0, len(code), 4))


def _some(addresses: Sequence[int]) -> str:
    return ", ".join(f"0x{address:08x}" for address in addresses[:_SHOWN]) + _more(addresses)


def _more(items: Sequence[object]) -> str:
    return f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""


def _classify_sites(sites: Sequence[Write], isa: InstructionSet) -> Classification:
    """The batch stops the target as soon as one site needs it: a second stop would only cost more."""
    classification = Classification(Change.LIVE, "no site changes")
    for site in sites:
        classification = classify(site.before or b"", site.after, isa=isa)
        if classification.change is Change.STOP:
            return Classification(Change.STOP, f"0x{site.address:08x}: {classification.rule}")
    return classification if len(sites) < 2 else Classification(Change.LIVE, "every site may change live")


def _problems(sites: Sequence[Write], new_code: Sequence[Write]) -> Iterator[str]:
    for write in (*sites, *new_code):
        where = f"0x{write.address:08x} ({write.purpose})"
        if write.address & 3 or not 0 <= write.address < write.end <= _ADDRESS_SPACE:
            yield f"a write is not empty and begins at a multiple of 4 within the address space, not at {where}"
        if write.before is not None and len(write.before) != len(write.after):
            yield f"the write at {where} replaces {len(write.before)} bytes by {len(write.after)}"
    for write in sites:
        if write.before is None:
            yield f"the site 0x{write.address:08x} ({write.purpose}) needs the bytes it replaces"
    ordered = sorted((*sites, *new_code), key=lambda write: write.address)
    for first, second in pairwise(ordered):
        if second.address < first.end:
            yield (
                f"two writes overlap: 0x{first.address:08x} ({first.purpose}) and "
                f"0x{second.address:08x} ({second.purpose})"
            )


def _check(sites: Sequence[Write], new_code: Sequence[Write]) -> None:
    for problem in _problems(sites, new_code):
        raise UsageError(problem)
