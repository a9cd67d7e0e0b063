"""A library that is installed, made to look as if it were not."""

from __future__ import annotations

import sys

import pytest

#: modules of armprobe that are importable only with optional libraries
OPTIONAL = (
    "armprobe.cli.plot",
    "armprobe.events.arrow",
    "armprobe.events.decode",
    "armprobe.events.perfetto",
    "armprobe.events.recording",
    "armprobe.events.statistics",
)


def hide(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Let imports of `library` fail until the test ends."""
    for name in OPTIONAL:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
