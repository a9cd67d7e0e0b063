"""The user-mode emulator as a process."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import MissingDependency
from armprobe.targets.useremulator import UserEmulator


def test_without_the_emulator_its_package_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingDependency, match=f"^{re.escape('qemu-arm is not installed')}$") as error:
        UserEmulator(["program"])
    assert error.value.hint == "apt-get install qemu-user"
