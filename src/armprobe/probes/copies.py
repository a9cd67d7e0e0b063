"""Programs that copy their own code, as firmware does that moves to RAM, copy the probes in it.

In the copy a trap stops at an address where no probe is, and a branch leads as far past its detour as the copy is past
the site. Neither can go on: what stood there is known for the site only. So the run ends, and this says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from armprobe.errors import TargetError
from armprobe.isa.decoder import decode
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState
from armprobe.targets.base import Stop, StopReason, Target

#: words looked at before and behind a patch, and how many of them must be the same in a copy: some hold addresses, and
#: were changed by the program
_NEIGHBOURS = 4
_ENOUGH = 5
_WORD = 4


def find_copy(target: Target, sites: Iterable[Site], stop: Stop) -> tuple[Site, int] | None:
    """The site whose copy a run ended at, and the address of the copy; None when it ended for another reason.

    A branch is found out only where it led to a fault at once. Patches of two words, which hold an absolute address,
    lead from the copy back to the original code.
    """
    alike = max(
        ((_likeness(target, site, place), site.address, site, place) for site, place in _candidates(sites, stop)),
        default=None,
        key=lambda found: found[:2],
    )
    return alike[2:] if alike is not None and alike[0] >= _ENOUGH else None


def _candidates(sites: Iterable[Site], stop: Stop) -> Iterator[tuple[Site, int]]:
    for site in sites:
        if stop.reason is StopReason.TRAP and site.state is SiteState.ARMED:
            yield site, stop.pc
        elif stop.reason is StopReason.FAULT and site.state in (SiteState.OPTIMIZED, SiteState.PARKED):
            led_to = decode(int.from_bytes(site.planted[:_WORD], "little")).target(site.address)
            if led_to is not None and led_to != stop.pc:
                yield site, site.address + stop.pc - led_to & 0xFFFFFFFF


def _likeness(target: Target, site: Site, place: int) -> int:
    """How many of the words around `place` are those around the site; 0 when our patch does not stand there."""
    size = (2 * _NEIGHBOURS + 1) * _WORD
    middle = slice(_NEIGHBOURS * _WORD, (_NEIGHBOURS + 1) * _WORD)
    try:
        here, there = (target.read_memory(at - middle.start, size) for at in (site.address, place))
    except TargetError:
        return 0
    if there[middle] != here[middle]:
        return 0
    return sum(here[at : at + _WORD] == there[at : at + _WORD] for at in range(0, size, _WORD)) - 1
