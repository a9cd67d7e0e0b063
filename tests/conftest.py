"""Settings for all tests: the same cases in every run, and a failure that says how to run it again."""

from __future__ import annotations

from hypothesis import settings

# A time limit would fail tests on a busy machine; the seed is fixed, so that a change is judged on its own.
settings.register_profile("armprobe", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("armprobe")
