"""Programs that copy their own code, as firmware does that moves to RAM, copy the probes in it.

In the copy a trap stops at an address where no probe is, and a branch leads as far past its detour as the copy is past
the site. Where it is proven that the program has copied our patches, the copies get what the program would have copied,
and it goes on. Elsewhere the run ends, and this says why. How a board comes to tell of it: `astray`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from armprobe.errors import TargetError
from armprobe.isa.decoder import decode
from armprobe.patching.execute import execute
from armprobe.patching.plan import Write, plan_patch
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState
from armprobe.targets.base import Stop, StopReason, Target, write_all
from armprobe.targets.spans import without

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine

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
        ((likeness(target, site, place) or 0, site.address, site, place) for site, place in _candidates(sites, stop)),
        default=None,
        key=lambda found: found[:2],
    )
    return alike[2:] if alike is not None and alike[0] >= _ENOUGH else None


def mend_copies(
    target: Target, sites: Iterable[Site], stop: Stop, go_on_at: Callable[[int], object]
) -> list[tuple[Site, int]]:
    """Give copies of our patches the program's own bytes, and let it go on at the one that a run ended at.

    Returns the sites and the addresses of their copies; none when it is not proven that there are some: by two or more
    that are as far from their sites, or by all that is around the one. Raises Refused, TargetError.
    """
    sites = list(sites)
    found = find_copy(target, sites, stop)
    if found is None:
        return []
    first, place = found
    places = {site: site.address + place - first.address & 0xFFFFFFFF for site in sites}
    alike = {site: likeness(target, site, places[site]) for site in sites if site.planted != site.original}
    # Where the program has changed what is around a patch, the distance, once it is known, tells a copy.
    mended = [(site, places[site]) for site, words in alike.items() if words is not None]
    if not proves_copy(alike, first):
        return []
    if target.journal is None:
        execute(plan_patch([Write(at, site.planted, site.original, "copy") for site, at in mended]), target)
    else:
        # Nothing to be undone later: it is what the program has copied.
        write_all(target, [(at, site.original) for site, at in mended])
    go_on_at(place)
    return mended


def proves_copy(alike: Mapping[Site, int | None], first: Site) -> bool:
    """Whether it is a copy of the program that is `alike` around each site, as `likeness` tells, and around `first`."""
    sure = sum((words or 0) >= _ENOUGH for words in alike.values())
    return sure > 1 or (alike.get(first) or 0) >= 2 * _NEIGHBOURS


def describe_copy(engine: Engine, site: Site, place: int) -> str:
    """Say that the program has copied the patch at a site."""
    return (
        f"the program copied code while probes were in it: 0x{place:08x} holds a copy of the "
        f"{engine.state_name(site)} at 0x{site.address:08x}; probe code that moves itself after it has moved"
    )


def _candidates(sites: Iterable[Site], stop: Stop) -> Iterator[tuple[Site, int]]:
    for site in sites:
        if stop.reason is StopReason.TRAP and site.state is SiteState.ARMED:
            yield site, stop.pc
        elif stop.reason is StopReason.FAULT and site.state in (SiteState.OPTIMIZED, SiteState.PARKED):
            led_to = decode(int.from_bytes(site.planted[:_WORD], "little")).target(site.address)
            if led_to is not None and led_to != stop.pc:
                yield site, site.address + stop.pc - led_to & 0xFFFFFFFF


def likeness(target: Target, site: Site, place: int) -> int | None:
    """How many of the words around `place` are those around the site; None when our patch does not stand there.

    Behind a patch of two words it is one less.
    """
    size = (2 * _NEIGHBOURS + 1) * _WORD
    first = place - _NEIGHBOURS * _WORD
    if without([(first, first + size)], [(region.start, region.end) for region in target.regions]):
        return None  # elsewhere may be devices
    middle = slice(_NEIGHBOURS * _WORD, _NEIGHBOURS * _WORD + len(site.planted))
    try:
        here, there = (target.read_memory(at - middle.start, size) for at in (site.address, place))
    except TargetError:
        return None
    if there[middle] != here[middle]:
        return None
    alike = sum(here[at : at + _WORD] == there[at : at + _WORD] for at in range(0, size, _WORD))
    return alike - len(site.planted) // _WORD
