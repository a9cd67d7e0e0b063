"""The variables of the program by name, as the handlers of the host see them: `hit.args`, `hit.vars`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from armprobe.errors import UsageError
from armprobe.symbols.data import find_argument, find_object
from armprobe.symbols.values import State, to_python

if TYPE_CHECKING:
    from armprobe.symbols.dwarf.scopes import Scope


class NamedValues:
    """Values by name, `values.len` or `values["len"]`, each read when it is asked for. Iterating gives the names.

    A name that there is not, or that has no value here, raises AttributeError with the reason.
    """

    __slots__ = ("_arguments_only", "_scope", "_state")

    def __init__(self, scope: Scope, state: State, *, arguments_only: bool) -> None:
        self._scope = scope
        self._state = state
        self._arguments_only = arguments_only

    def __getattr__(self, name: str) -> Any:
        try:
            found = (find_argument if self._arguments_only else find_object)(self._scope, name)
        except UsageError as error:
            raise AttributeError(f"{error.message}{'; ' if error.hint else ''}{error.hint}") from None
        return to_python(found, self._state)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        if self._arguments_only:
            return (variable.name for variable in self._scope.parameters)
        return iter(self._scope.names)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name}: {_shown(self, name)}" for name in self) + "}"


def _shown(values: NamedValues, name: str) -> str:
    try:
        return repr(values[name])
    except AttributeError as error:
        return f"({error})"


def values_at(scope: Scope | None, state: State, *, where: str, arguments_only: bool) -> NamedValues:
    """The values at a place that messages call `where`. Raises UsageError where there is no debug information."""
    if scope is None:
        raise UsageError(
            f"there is no debug information about {where}, which would know the names of its variables",
            hint="build the program with -g, or use hit.regs and hit.read()",
        )
    return NamedValues(scope, state, arguments_only=arguments_only)
