"""Changes of code that other threads execute meanwhile, in an emulator that keeps nothing of a page it stores to.

The architecture's list (`classify`) is about processors. An emulator that translates blocks of whole instructions, and
does so under the lock that a store to translated code takes, executes the old instruction or the new one, whatever they
are: QEMU's user-mode emulator is one (page_protect before a block is read, since QEMU 6.2; page_unprotect; both under
mmap_lock). What it leaves open is when. A thread that is in a block goes on to its end, and along jumps between old
blocks, none of which it comes to twice; but for a block that jumps to its own start: that is never left (QEMU 7.2,
tb_remove_from_jmp_list lets its jump be). So here is refused
- what replaces more than one instruction: a thread may be between them;
- what stops: there is no stop;
- what the program may rewrite or unmap at any moment;
- what has to be seen soon by a thread that may go round and round in the old block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from armprobe.errors import Refused
from armprobe.isa.flow import ReadWord, flow_of_word
from armprobe.patching.plan import ClearTraps, MoveThreads, PatchPlan, SetTraps, Write

_WORD = 4
_PAGE = 0x1000
_ADDRESS_MASK = 0xFFFFFFFF
_STOPS = "a trap at 0x{:08x} would stop one of them"


def check_live(
    plan: PatchPlan,
    *,
    trap: int,
    read_word: ReadWord,
    stays: Callable[[int], bool],
    fleeting: Iterable[tuple[int, int]] = (),
) -> None:
    """Raise Refused with the reason where `plan` can't be carried out while other threads run.

    `read_word` gives the program's own words, `trap` is what stops the target. `stays` tells of an address whether it
    is code that the program does not write itself; the [start, end) of `fleeting` are about to be unmapped.
    """
    for step in plan.steps:
        if isinstance(step, SetTraps):
            raise _refused(_STOPS.format(step.addresses[0]))
        if isinstance(step, ClearTraps | MoveThreads):
            raise _refused(f"it takes a stop to {step}")
        if isinstance(step, Write) and any(start <= step.address < end for start, end in fleeting):
            raise _refused(f"the library at 0x{step.address:08x} is just being unloaded")
        if isinstance(step, Write) and step.before is not None and not stays(step.address):
            raise _refused(
                f"0x{step.address:08x} is in no read-only code of the program's files, and may be rewritten or unmapped"
            )
        if isinstance(step, Write) and step.before is not None:
            _check_write(step, trap, read_word)


def _check_write(write: Write, trap: int, read_word: ReadWord) -> None:
    words = [(before, after) for before, after in zip(_words(write.before or b""), _words(write.after), strict=True)]
    changed = sum(before != after for before, after in words)
    if changed > 1:
        raise _refused(
            f"{changed} instructions at 0x{write.address:08x} would change, and a thread may be between them"
        )
    before, after = words[0]
    if after == trap:
        raise _refused(_STOPS.format(write.address))
    if before != after and before == read_word(write.address):
        branch = own_loop(read_word, write.address)
        if branch is not None:
            raise _refused(
                f"0x{write.address:08x} lies in a loop without another branch than that at 0x{branch:08x}, and a "
                "thread that goes round there would not see the change"
            )


def own_loop(read_word: ReadWord, address: int) -> int | None:
    """The branch at the end of the straight-line code at `address` that leads back to, or before, it within that code.

    Pages end such code, as blocks that are translated do not go on behind one.
    """
    place = address
    while (step := _flow(read_word, place)) is not None and step[0] is None and not step[1]:
        place += _WORD
        if place % _PAGE == 0:
            return None
    if step is None or step[0] is None:
        return None
    target = place + step[0] & _ADDRESS_MASK
    if target > address or target & -_PAGE != address & -_PAGE:
        return None
    between = range(target, address, _WORD)
    straight = all((step := _flow(read_word, other)) is not None and step == (None, False) for other in between)
    return place if straight else None


def _flow(read_word: ReadWord, place: int) -> tuple[int | None, bool] | None:
    """How far the instruction branches, and whether control leaves otherwise; None where that is not known."""
    word = read_word(place)
    known = None if word is None else flow_of_word(word)
    if known is None:
        return None
    way = known[0]
    return way.target, way.unknown or way.next is None


def _words(code: bytes) -> list[int]:
    return [int.from_bytes(code[at : at + _WORD], "little") for at in range(0, len(code), _WORD)]


def _refused(reason: str) -> Refused:
    return Refused(
        f"other threads run, and can't be stopped for a change of code: {reason}",
        hint="plant probes before the program starts threads",
    )
