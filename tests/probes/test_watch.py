"""Watching data where nothing can."""

from __future__ import annotations

import pytest
from tests.probes.program import BASE, WORDS

from armprobe import Image, emulate
from armprobe.errors import Refused


def test_the_emulator_has_no_watchpoints():
    with emulate(Image.from_words(WORDS, base=BASE)) as session, pytest.raises(Refused) as refused:
        session.watch(BASE, lambda _: None)
    assert refused.value.message == f"{session.target.name} has no watchpoints"
    assert refused.value.hint == "probe the code that makes the access, or run the program behind a GDB stub"
