"""Settings for all tests: the same cases in every run, and a failure that says how to run it again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# What shells start in the background, or nohup starts, ignores these; programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A time limit would fail tests on a busy machine; the seed is fixed, so that a change is judged on its own.
settings.register_profile("armprobe", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("armprobe")


@pytest.fixture(autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep journals of tests out of the user's directory."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
