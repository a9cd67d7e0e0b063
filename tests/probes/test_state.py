import pytest

from armprobe.errors import InternalError
from armprobe.probes.state import TRANSITIONS, SiteState, next_state

PAIRS = {"register": "unregister", "arm": "disarm", "optimize": "unoptimize", "park": "unpark"}


def test_an_illegal_move_raises():
    with pytest.raises(InternalError, match=r"^a site that is DISARMED cannot park$"):
        next_state(SiteState.DISARMED, "park")


def test_every_state_can_be_reached_and_left_for_good():
    reached = {SiteState.UNREGISTERED}
    while more := {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached:
        reached |= more
    assert reached == set(SiteState)
    for state in SiteState:
        seen = {state}
        while more := {after for (before, _), after in TRANSITIONS.items() if before in seen} - seen:
            seen |= more
        assert SiteState.UNREGISTERED in seen


@pytest.mark.parametrize(("verb", "undo"), [pair for pair in PAIRS.items() if pair[0] != "register"])
def test_verbs_come_in_pairs(verb: str, undo: str):
    for (before, name), after in TRANSITIONS.items():
        if name == verb:
            assert TRANSITIONS[after, undo] is before
