"""Calls, from events at the entries and at the returns of the same functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from armprobe.events.batch import Origin


@dataclass(frozen=True, slots=True)
class Call:
    """What an event says of the calls of `runner`: one began, or `ended` did, the last of which is the event's own."""

    runner: str
    began: bool = False
    ended: int = 0


class Calls:
    """Follows the calls of functions that have both events among `origins`, for each task or processor that runs.

    Where a function has several events of a kind, the first one counts.
    """

    def __init__(self, origins: Iterable[Origin]) -> None:
        first: dict[tuple[int, bool], Origin] = {}
        for origin in origins:
            first.setdefault((origin.address, origin.at_return), origin)
        self._ends = [origin for (address, returned), origin in first.items() if (address, not returned) in first]
        self._open: dict[str, list[int]] = {}

    def follow(self, origin: Origin, runner: str) -> Call:
        """Take the next event, of the task or processor `runner`.

        A return ends the calls that were made within and did not return, as after longjmp; one of a call that did not
        begin here ends nothing.
        """
        if not any(origin is end for end in self._ends):
            return Call(runner)
        calls = self._open.setdefault(runner, [])
        if not origin.at_return:
            calls.append(origin.address)
            return Call(runner, began=True)
        if origin.address not in calls:
            return Call(runner)
        ended = 1
        while calls.pop() != origin.address:
            ended += 1
        return Call(runner, ended=ended)
