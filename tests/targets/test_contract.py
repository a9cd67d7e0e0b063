"""The contract of targets, held against each."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.targets.contract import BASE, Contract

from armprobe.symbols import Image
from armprobe.targets.base import Target
from armprobe.targets.fake import FakeTarget
from armprobe.targets.unicorn import UnicornTarget


class TestFake(Contract):
    @pytest.fixture
    def make(self):
        return lambda words: FakeTarget(words, base=BASE)


class TestUnicorn(Contract):
    @pytest.fixture(params=["cortex-a15", "arm926"])
    def make(self, request):
        def make(words: Sequence[int]) -> Target:
            return UnicornTarget.from_image(Image.from_words(words or [0], base=BASE), cpu=request.param)

        return make
