"""Breadth-first search of every interleaving: proof, or the shortest run that breaks a rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from armprobe.errors import Refused
from armprobe.verification.patchmodel import memory, victim
from armprobe.verification.patchmodel.numbered import Space
from armprobe.verification.patchmodel.state import Violation
from armprobe.verification.patchmodel.vocabulary import Protocol

#: states after which a search gives up; one takes some 150 bytes
LIMIT = 5_000_000
_REPORT_EVERY = 1 << 16


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a run: who ("patcher", "memory" or "core N"), what, and the rule it broke."""

    actor: str
    text: str
    violation: Violation | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found. `run` is the shortest run that breaks a rule; empty when there is none."""

    protocol: Protocol
    cores: int
    passes: int
    states: int
    violation: Violation | None = None
    run: tuple[Event, ...] = ()

    @property
    def safe(self) -> bool:
        return self.violation is None


def check(
    protocol: Protocol,
    *,
    cores: int = 2,
    passes: int = 2,
    limit: int = LIMIT,
    progress: Callable[[int], object] = lambda _: None,
) -> Result:
    """Explore `protocol` with `cores` that pass the site `passes` times each, and judge it by I1 to I9.

    `progress` is called with the number of states now and then. Raises Refused when there are more than `limit` states:
    then nothing is proven.
    """
    space = Space(protocol, cores, passes)
    came_from = {space.first: space.first}
    ends_among_running = False
    level = [space.first]
    due = _REPORT_EVERY
    while level:
        following: list[int] = []
        for state in level:
            found = space.successors(state)
            if space.has_ended(state):
                if found == [] and space.all_finished(state):
                    continue
                ends_among_running = ends_among_running or not space.all_finished(state)
            if not found:
                run = _replay(space, came_from, state)
                return Result(protocol, cores, passes, len(came_from), run[-1].violation, run)
            for new in found:
                if new not in came_from:
                    came_from[new] = state
                    following.append(new)
        level = following
        if len(came_from) >= due:
            progress(len(came_from))
            due = len(came_from) + _REPORT_EVERY
        if len(came_from) > limit:
            raise Refused(
                f"{protocol.name} has more than {limit:,} states with {cores} cores and {passes} passes: "
                "nothing is proven",
                hint="take fewer cores or passes",
            )
    if not ends_among_running:
        never = Violation("I9", "the protocol never ends while a core still runs: it proves nothing")
        return Result(protocol, cores, passes, len(came_from), never)
    return Result(protocol, cores, passes, len(came_from))


def _replay(space: Space, came_from: dict[int, int], last: int) -> tuple[Event, ...]:
    """The run that leads to the state `last`, and the step from there that breaks a rule, or that nothing can go on."""
    path = [last]
    while came_from[path[-1]] != path[-1]:
        path.append(came_from[path[-1]])
    shared, cores = space.unpack(path.pop())
    events: list[Event] = []
    while path:
        target = path.pop()
        event, shared, cores = next(move for move in _moves(space, shared, cores) if space.pack(*move[1:]) == target)
        events.append(event)
    stuck = Event("patcher", "waits", Violation("I9", "waits for ever: nothing can go on"))
    events.append(next((event for event, _, _ in _moves(space, shared, cores) if event.violation), stuck))
    return tuple(events)


def _moves(space: Space, shared: int, cores: list[int]) -> Iterator[tuple[Event, int, list[int]]]:
    """Every step from a state, with its text, and each core at its own place."""
    state = space.shared[shared]
    for index, core in enumerate(cores):
        for text, after in victim.steps(space.protocol, state, space.cores[core]):
            broken = after if isinstance(after, Violation) else None
            changed = [*cores[:index], space.of_core(after), *cores[index + 1 :]]
            yield Event(f"core {index}", text, broken), shared, changed
    for cell, cleaned in memory.cleaned(state.memory):
        event = Event("memory", f"DC of {victim.cell_name(cell)} completes")
        yield event, space.of_shared(state._replace(memory=cleaned)), cores
    operation = space.operation(shared)
    if operation is None:
        return
    for changed in operation.successors(cores):
        done = operation.really_done(cores)
        bad = next((index for index, core in enumerate(changed) if core < 0), None)
        if bad is None:
            yield Event("patcher", done.step.text), done.after, changed
        else:
            broken = space.violation(changed[bad])
            yield Event("patcher", done.step.text, broken._replace(text=f"core {bad} {broken.text}")), shared, changed
