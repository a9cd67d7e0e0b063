"""The contract of targets, held against each."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import pytest

from armprobe.symbols import Image
from armprobe.targets.base import Target
from armprobe.targets.fake import FakeTarget
from armprobe.targets.unicorn import UnicornTarget

# The tests are no package (importlib mode): a shared module is loaded by its path.
_spec = importlib.util.spec_from_file_location("target_contract", Path(__file__).with_name("contract.py"))
assert _spec is not None
assert _spec.loader is not None
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)


class TestFake(contract.Contract):
    @pytest.fixture
    def make(self):
        return lambda words: FakeTarget(words, base=contract.BASE)


class TestUnicorn(contract.Contract):
    @pytest.fixture(params=["cortex-a15", "arm926"])
    def make(self, request):
        def make(words: Sequence[int]) -> Target:
            return UnicornTarget.from_image(Image.from_words(words or [0], base=contract.BASE), cpu=request.param)

        return make
