"""The states of a site and the one table of moves between them.

A site is an address with all probes on it. The table is also what docs/how-a-probe-works.md prints.
"""

from __future__ import annotations

from enum import Enum

from armprobe.errors import InternalError


class SiteState(Enum):
    """What stands at the site, and what a hit does."""

    UNREGISTERED = "original bytes; nothing of ours in the target"
    DISARMED = "original bytes; the slot is written"
    ARMED = "a trap: a hit stops the target"
    OPTIMIZED = "a branch to the detour: a hit does not stop the target"
    PARKED = "a branch to the out-of-line copy: handlers do not run"
    RETIRED = "original bytes; the slot waits until no thread is in it"


#: (state before, verb) -> state after. Verbs come in pairs; a pair that is not here is an illegal move.
TRANSITIONS: dict[tuple[SiteState, str], SiteState] = {
    (SiteState.UNREGISTERED, "register"): SiteState.DISARMED,
    (SiteState.DISARMED, "unregister"): SiteState.RETIRED,
    (SiteState.DISARMED, "arm"): SiteState.ARMED,
    (SiteState.DISARMED, "publish"): SiteState.OPTIMIZED,
    (SiteState.ARMED, "disarm"): SiteState.DISARMED,
    (SiteState.ARMED, "optimize"): SiteState.OPTIMIZED,
    (SiteState.OPTIMIZED, "unoptimize"): SiteState.ARMED,
    (SiteState.OPTIMIZED, "park"): SiteState.PARKED,
    (SiteState.PARKED, "unpark"): SiteState.OPTIMIZED,
    (SiteState.OPTIMIZED, "disarm"): SiteState.DISARMED,
    (SiteState.PARKED, "disarm"): SiteState.DISARMED,
    (SiteState.RETIRED, "free"): SiteState.UNREGISTERED,
}


def next_state(state: SiteState, verb: str) -> SiteState:
    """The state after `verb`; an illegal move raises InternalError."""
    try:
        return TRANSITIONS[state, verb]
    except KeyError:
        raise InternalError(f"a site that is {state.name} cannot {verb}") from None
