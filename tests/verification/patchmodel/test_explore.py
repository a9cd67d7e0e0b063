"""The search itself: against a plain one, and at its limits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from armprobe.errors import Refused
from armprobe.verification.patchmodel import memory, victim, writer
from armprobe.verification.patchmodel.catalogue import CATALOGUE, live
from armprobe.verification.patchmodel.explore import check
from armprobe.verification.patchmodel.state import Core, Violation, begin
from armprobe.verification.patchmodel.vocabulary import (
    FIRST,
    Claim,
    Promise,
    Say,
    Stop,
    Store,
    WaitStopped,
)


def plain_search(protocol, cores: int, passes: int) -> tuple[int, set[Violation]]:
    """The number of states that differ in more than the order of the cores, and all that goes wrong in any run.

    It knows nothing of numbers, stored steps or symmetry, and does not end at the first violation.
    """
    shared, core = begin(protocol, passes)
    seen = {(shared, (core,) * cores)}
    todo = list(seen)
    broken: set[Violation] = set()
    while todo:
        shared, inside = todo.pop()
        found = [(shared._replace(memory=after), inside) for _, after in memory.cleaned(shared.memory)]
        for index, core in enumerate(inside):
            for _, after in victim.steps(protocol, shared, core):
                if isinstance(after, Violation):
                    broken.add(after)
                else:
                    found.append((shared, (*inside[:index], after, *inside[index + 1 :])))
        step = writer.step(protocol, shared)
        if step is not None and step.ready:
            after = [writer.apply(step.effect, core) for core in inside]
            if None in after and step.otherwise is not None:
                step = step.otherwise
                after = [writer.apply(step.effect, core) for core in inside]
            if step.only_one:
                changes = [(*inside[:i], after[i], *inside[i + 1 :]) for i in range(cores)]
            elif None in after:
                enough = step.enough is not None and sum(each is not None for each in after) >= step.enough
                changes = [tuple(new or old for new, old in zip(after, inside, strict=True))] if enough else []
            else:
                changes = [tuple(after)]
            for changed in changes:
                broken.update(each for each in changed if isinstance(each, Violation))
                if all(isinstance(each, Core) for each in changed):
                    found.append((step.shared, changed))
        for state in found:
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return len({(shared, tuple(sorted(inside, key=repr))) for shared, inside in seen}), broken


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CATALOGUE if not CATALOGUE[name].breaks])
def test_it_visits_exactly_the_states_of_a_plain_search(name):
    protocol = CATALOGUE[name].protocol
    states, broken = plain_search(protocol, 2, 1)
    assert broken == set()
    assert check(protocol, passes=1).states == states


@pytest.mark.parametrize("name", [name for name in CATALOGUE if CATALOGUE[name].breaks])
def test_a_plain_search_finds_the_same_rule_broken(name):
    _, broken = plain_search(CATALOGUE[name].protocol, 2, 1)
    result = check(CATALOGUE[name].protocol, passes=1)
    assert result.violation is not None
    assert result.violation.invariant in {violation.invariant for violation in broken}


@pytest.mark.parametrize("name", ["A1", "A2", "B1", "D1", "E5", "G1", "G5"])
def test_a_live_change_of_unlisted_instructions_is_wrong_at_the_store_and_at_every_later_fetch(name):
    _, broken = plain_search(CATALOGUE[name].protocol, 1, 1)
    texts = {violation.text for violation in broken if violation.invariant == "I1"}
    assert any("is stored over it: " in text for text in texts)
    assert any(text.startswith("fetches ") for text in texts)


def test_a_run_is_told_step_by_step():
    result = check(CATALOGUE["C2"].protocol, cores=1, passes=1)
    assert [f"{event.actor}: {event.text}" for event in result.run] == [
        "patcher: promise: every pass hits",
        "patcher: promise: nothing",
        "patcher: the site := ea00040e (branch to copy)",
        "patcher: DC the site",
        "memory: DC of the site completes",
        "patcher: DSB",
        "patcher: IC the site",
        "core 0: IC of the site reaches it",
        "patcher: DSB",
        "patcher: promise: no pass hits",
        "core 0: comes to the site (promised: no pass hits)",
        "core 0: fetches ea0003fe: branch to hook",
        "core 0: the hook: a hit",
        "core 0: the instruction",
    ]
    assert [event.violation for event in result.run[:-1]] == [None] * 13
    assert result.run[-1].violation == Violation("I3", "hits, though no pass was promised to hit")


def test_a_protocol_that_waits_for_ever_is_no_proof():
    """Nobody asks the cores to stop: they have to finish first."""
    protocol = replace(CATALOGUE["C1"].protocol, operations=(WaitStopped(), *live(Store(FIRST, 0xEA00040E))))
    result = check(protocol)
    assert result.violation == Violation("I9", "the protocol never ends while a core still runs: it proves nothing")
    assert result.run == ()


def test_a_deadlock_is_shown():
    """Cores that are stopped and never resumed."""
    protocol = replace(CATALOGUE["C1"].protocol, operations=(Stop(), WaitStopped()))
    result = check(protocol, cores=1, passes=1)
    assert result.violation == Violation("I9", "waits for ever: nothing can go on")
    assert [event.text for event in result.run] == ["stop all cores", "stops at idle", "all have stopped", "waits"]


def test_a_false_claim_is_found():
    protocol = replace(CATALOGUE["C1"].protocol, operations=(Store(FIRST, 0xEA00040E), Claim(FIRST, 0xEA00040E)))
    result = check(protocol)
    assert result.violation == Violation("I8", "core 0 may still fetch something else from the site")


def test_a_false_promise_is_found():
    protocol = replace(CATALOGUE["C1"].protocol, operations=(Say(Promise.NO_HIT),))
    assert check(protocol).violation == Violation("I3", "hits, though no pass was promised to hit")


def test_more_states_than_allowed_prove_nothing():
    with pytest.raises(Refused, match=r"^B8 has more than 1,000 states with 2 cores and 2 passes: nothing is proven$"):
        check(CATALOGUE["B8"].protocol, limit=1000)


def test_progress_is_told(monkeypatch):
    monkeypatch.setattr("armprobe.verification.patchmodel.explore._REPORT_EVERY", 1000)
    told: list[int] = []
    states = check(CATALOGUE["B8"].protocol, progress=told.append).states
    assert told == sorted(told)
    assert 3 <= len(told) <= states // 1000


@pytest.mark.parametrize(("cores", "passes"), list(product([1, 2, 3], [1, 2])))
def test_the_same_search_gives_the_same_result(cores, passes):
    protocol = CATALOGUE["D5"].protocol
    assert check(protocol, cores=cores, passes=passes) == check(protocol, cores=cores, passes=passes)
