"""In which order the actions of a site happen, and which of them share the decision of their filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from armprobe.codegen.actions import Action, Call, Follow, Record
from armprobe.codegen.aggregate import Aggregate
from armprobe.codegen.filters import Filter, maps_read, sources
from armprobe.events.source import reads_memory


def in_groups(actions: Sequence[Action]) -> Iterator[tuple[Filter | None, list[Action]]]:
    """The actions of a site as they happen, with the filter that is decided for some of them together.

    Those of one filter come together. Where one may skip the function, actions happen in exactly the order that they
    have, up to the one that does, and calls are followed last. Where filters read maps, the order is that as well, and
    each action has its own decision: what one does to a map, the filter of the next one sees.
    """
    alone = any(action.filter is not None and maps_read(action.filter) for action in actions)
    first: dict[Filter | None, int] = {}
    for index, action in enumerate(actions):
        first.setdefault(action.filter, index)
    if alone or any(isinstance(action, Call) and action.program.skips for action in actions):
        ordered = sorted(actions, key=lambda action: isinstance(action, Follow))
    else:
        ordered = sorted(actions, key=lambda action: first[action.filter])
    for _, group in groupby(enumerate(ordered), key=lambda item: item[0] if alone else item[1].filter):
        together = [action for _, action in group]
        yield together[0].filter, together


def split_filter(actions: tuple[Action, ...]) -> tuple[Filter | None, tuple[Action, ...]]:
    """The filter that all actions have, and the actions without it; None where a guard can't stand for the filter.

    A record shows the numbers that its filter compared, and so does a key, so memory is read once, in one body. What
    one action does to a map, the filter of the next one sees.
    """
    wanted = actions[0].filter
    if wanted is None or any(action.filter != wanted for action in actions):
        return None, actions
    if len(actions) > 1 and maps_read(wanted):
        return None, actions
    if any(isinstance(action, Record | Aggregate) for action in actions) and any(map(reads_memory, sources(wanted))):
        return None, actions
    return wanted, tuple(action if isinstance(action, Follow) else replace(action, filter=None) for action in actions)
