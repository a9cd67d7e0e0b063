"""What compiled actions need of a target: the instructions of its architecture, and a compiler here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from armprobe.codegen.actions import Action, Call
from armprobe.codegen.aggregate import Aggregate
from armprobe.codegen.filters import Filter, maps_read
from armprobe.errors import Refused

#: the architecture that brought load-exclusive
_EXCLUSIVES = 6
#: the one from which on every processor has that of two words
_EXCLUSIVE_PAIRS = 7
#: the architecture from which on every processor has BX
_INTERWORKING = 5


def can_compile(*, architecture: int, atomic: bool) -> bool:
    """Whether `compile_actions` can do anything for such a target here."""
    return find_spec("llvmlite") is not None and (architecture >= _EXCLUSIVES or not atomic)


def check_actions(actions: Sequence[Action], *, architecture: int, atomic: bool) -> None:
    """Raise Refused for atomic actions on an architecture without load-exclusive (of two words, for maps), and for a
    function skipped before architecture 5.
    """
    if atomic and architecture < _EXCLUSIVES:
        raise Refused(
            f"counting exactly on several CPUs or in interrupts needs load-exclusive, which came with architecture 6; "
            f"this target has architecture {architecture}",
            hint="use a host handler",
        )
    for action in actions:
        if isinstance(action, Aggregate) or (isinstance(action, Call) and action.program.maps):
            _check_maps(architecture, atomic=atomic)
        if action.filter is not None:
            check_filter(action.filter, architecture=architecture, atomic=atomic)
    if architecture < _INTERWORKING and any(isinstance(action, Call) and action.program.skips for action in actions):
        raise Refused(
            f"a function is skipped by BX, which not every processor has before architecture {_INTERWORKING}; "
            f"this target has architecture {architecture}",
            hint="use session.on_host() with the same handler",
        )


def check_filter(wanted: Filter, *, architecture: int, atomic: bool) -> None:
    """Raise Refused for a filter that reads maps where actions on maps would be refused."""
    if maps_read(wanted):
        _check_maps(architecture, atomic=atomic)


def _check_maps(architecture: int, *, atomic: bool) -> None:
    if atomic and architecture < _EXCLUSIVE_PAIRS:
        raise Refused(
            "using a map exactly on several CPUs or in interrupts needs load-exclusive of two words, which every "
            f"processor has from architecture 7 on; this target has architecture {architecture}",
            hint="count with session.count(), or use a host handler",
        )
