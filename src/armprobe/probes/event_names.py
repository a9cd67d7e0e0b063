"""Events by name: several probes may share one when their records look alike, and a removal names what goes."""

from __future__ import annotations

from collections.abc import Iterable

from armprobe.errors import UsageError
from armprobe.probes.definition import Argument, Kind, ProbeDefinition, Removal
from armprobe.probes.filter_parser import point_at
from armprobe.probes.probe import Probe


class EventNames:
    """The events of some probes; probes that only count have none."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._probes: dict[tuple[str, str], list[Probe]] = {}
        for probe in probes:
            if probe.definition is not None and probe.definition.kind is not Kind.COUNT:
                self._probes.setdefault(_key(probe.definition), []).append(probe)

    def add(self, probe: Probe) -> None:
        """Add a probe. Raises UsageError, with a caret, when its event has other arguments or this very probe."""
        definition = probe.definition
        if definition is None or definition.kind is Kind.COUNT:
            return
        others = self._probes.setdefault(_key(definition), [])
        for other in others:
            assert other.definition is not None
            _check_alike(definition, other.definition)
            if other.address == probe.address and other.definition == definition:
                raise UsageError(
                    f"the event {_name(definition)} has this very probe already",
                    evidence=point_at(definition.text, 0),
                    hint="give this one another name",
                )
        others.append(probe)

    def remove(self, removal: Removal) -> list[Probe]:
        """Take out the probes that a removal names. Raises UsageError when there is none."""
        keys = [key for key, probes in self._probes.items() if probes and removal.matches(*key)]
        if not keys:
            known = ", ".join(f"{group}/{event}" for (group, event), probes in self._probes.items() if probes)
            evidence = point_at(f"-:{removal}", 2)
            raise UsageError(
                f"there is no event {removal}", evidence=evidence, hint=f"there are {known}" if known else ""
            )
        return [probe for key in keys for probe in self._probes.pop(key)]


def _check_alike(definition: ProbeDefinition, other: ProbeDefinition) -> None:
    hint = f"give this one another name, or remove the other first: -:{_name(other)}"
    if definition.kind is not other.kind:
        raise UsageError(
            f"the event {_name(other)} belongs to probes of another kind: {other.kind.value}",
            evidence=point_at(definition.text, 0),
            hint=hint,
        )
    ours, theirs = (list(map(_shape, each.arguments)) for each in (definition, other))
    if ours == theirs:
        return
    same = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), len(theirs))
    column = definition.arguments[same].column if same < len(ours) else len(definition.text.rstrip())
    shown = " ".join(f"{name}:{kind}" for name, kind in theirs) or "no arguments"
    raise UsageError(
        f"the event {_name(other)} was defined with {shown}, and all its probes must have the same",
        evidence=point_at(definition.text, column),
        hint=hint,
    )


def _shape(argument: Argument) -> tuple[str, str]:
    return argument.name, argument.type.name


def _key(definition: ProbeDefinition) -> tuple[str, str]:
    return definition.group, definition.event


def _name(definition: ProbeDefinition) -> str:
    return f"{definition.group}/{definition.event}"
