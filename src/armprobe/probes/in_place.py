"""Slots that stay in place when a session ends, as a task may sleep in one: noted, told, and given back later."""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.probes.sleepers import SlotInUse, find_sleepers
from armprobe.targets.base import Target
from armprobe.targets.journal import InPlace, InPlaceGone, Memory, note

_LISTED = 3


def note_in_place(
    target: Target, memory: Sequence[Memory], slots: Sequence[tuple[int, int, int]], spans: Sequence[tuple[int, int]]
) -> None:
    """Tell the journal what stays, as it is now: `slots` are (start, end, site) of those in use."""
    parts = tuple((part.start, part.end, part.original, part.mark) for part in memory)
    if parts:
        note(target.journal, InPlace(parts, tuple(slots), tuple(spans)))


def give_back(target: Target, left: Sequence[InPlace]) -> tuple[list[SlotInUse], int]:
    """Give back what earlier sessions left in place, where nobody is in it any more.

    Returns the slots that may still be in use, and how many bytes were given back. Raises TargetFault.
    """
    there = [each for each in left if any(target.read_memory(part[0], len(part[3])) == part[3] for part in each.memory)]
    gone = [each for each in left if each not in there]  # the target was restarted since
    parts = [part for each in there for part in each.memory]
    found = find_sleepers(
        target,
        [slot for each in there for slot in each.slots],
        dict.fromkeys(span for each in there for span in each.spans),
        lambda address: any(start <= address < end for start, end, *_ in parts),
        (),
    )
    used = {slot.start for slot in found}
    size = 0
    for each in there:
        if used.isdisjoint(start for start, _, _ in each.slots):
            for start, end, original, _ in each.memory:
                if original is not None:
                    target.write_memory(start, original)
                    size += end - start
            gone.append(each)
    note(target.journal, *(InPlaceGone(each.memory[0][0]) for each in gone))
    return found, size


def describe(slots: Sequence[SlotInUse]) -> str:
    """Say in a sentence which slots stay, and why that does no harm."""
    one = len(slots) == 1
    listed = ", ".join(f"0x{slot.start:08x}..0x{slot.end:08x}" for slot in slots[:_LISTED])
    more = f" and {len(slots) - _LISTED:,} more places" if len(slots) > _LISTED else ""
    return (
        f"{len(slots):,} slot{'' if one else 's'} at {listed}{more} {'was' if one else 'were'} left in place, as "
        f"{slots[0].where} may be the saved PC of a sleeping task; {'it is' if one else 'they are'} in memory that the "
        "program does not use, and harmless"
    )
