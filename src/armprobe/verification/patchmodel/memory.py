"""Caches as sets of what may be seen: all freedom of the hardware is in these sets, and is used at the fetch.

For each cell there is
  - `Memory.values`: what a miss of an instruction cache may return (stores that no DC has cleaned are in it, too);
  - `View.cached`: what this core's instruction cache may hold;
  - `View.queued`: what this core may have prefetched since its last context synchronisation event (CSE).
A store adds to all three, DC keeps the newest value, IC refills the cache from memory, a CSE refills the queue from the
cache. IC leaves the queue alone: that is weaker than the published AArch64 model, never stronger (see `litmus`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

Values = frozenset[int]
_NONE: Values = frozenset()


class Memory(NamedTuple):
    """What all cores share; `cleaning` are the cells whose DC is not complete."""

    values: tuple[Values, ...]
    newest: tuple[int, ...]
    cleaning: Values = _NONE


class View(NamedTuple):
    """What one core may see; `invalidating` are the cells whose IC has not reached it."""

    cached: tuple[Values, ...]
    queued: tuple[Values, ...]
    invalidating: Values = _NONE


def initial(contents: tuple[int, ...]) -> tuple[Memory, View]:
    """Memory that has been as it is for long."""
    values = tuple(frozenset([value]) for value in contents)
    return Memory(values, contents), View(values, values)


def store(memory: Memory, cell: int, value: int) -> Memory:
    """The store itself; `see_store` is what follows for each core."""
    newest = (*memory.newest[:cell], value, *memory.newest[cell + 1 :])
    return memory._replace(values=_add(memory.values, cell, value), newest=newest)


def see_store(view: View, cell: int, value: int) -> View:
    """From now on any core may find the value, by a miss or by prefetching."""
    return view._replace(cached=_add(view.cached, cell, value), queued=_add(view.queued, cell, value))


def see_translations_go(view: View, cell: int, value: int) -> View:
    """A store to what no core has executed: nobody has the old value, as nobody fetches ahead."""
    only = frozenset([value])
    return view._replace(cached=_set(view.cached, cell, only), queued=_set(view.queued, cell, only))


def begin_clean(memory: Memory, cell: int) -> Memory:
    """DC: from now on it may complete at any time."""
    return memory._replace(cleaning=memory.cleaning | {cell})


def cleaned(memory: Memory) -> Iterator[tuple[int, Memory]]:
    """Each DC that may complete now, with the memory after it."""
    for cell in sorted(memory.cleaning):
        values = _set(memory.values, cell, frozenset([memory.newest[cell]]))
        yield cell, memory._replace(values=values, cleaning=memory.cleaning - {cell})


def begin_invalidate(view: View, cell: int) -> View:
    """IC: from now on it may reach this core at any time."""
    return view._replace(invalidating=view.invalidating | {cell})


def invalidated(view: View, memory: Memory) -> Iterator[tuple[int, View]]:
    """Each IC that may reach the core now, with its view after it."""
    for cell in sorted(view.invalidating):
        cached = _set(view.cached, cell, memory.values[cell])
        yield cell, view._replace(cached=cached, invalidating=view.invalidating - {cell})


def context_synchronized(view: View) -> View:
    """A CSE: what was prefetched is fetched again."""
    return view._replace(queued=view.cached)


def _add(sets: tuple[Values, ...], cell: int, value: int) -> tuple[Values, ...]:
    return _set(sets, cell, sets[cell] | {value})


def _set(sets: tuple[Values, ...], cell: int, values: Values) -> tuple[Values, ...]:
    return (*sets[:cell], values, *sets[cell + 1 :])
