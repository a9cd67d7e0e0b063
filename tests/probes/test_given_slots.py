"""Memory that a user gave for slots is no place for a probe, even before the first slot is there."""

from __future__ import annotations

import pytest

from armprobe.errors import Refused
from armprobe.session import emulate
from armprobe.symbols.image import Image
from armprobe.targets.base import Region


def test_a_site_in_memory_given_for_slots_is_refused():
    image = Image.from_words([0xE1A00000] * 64, base=0x8000)  # nop
    with emulate(image, slots=[Region(0x8080, 0x8100)]) as session:
        with pytest.raises(Refused, match=r"^0x00008080 lies in a slot of armprobe: its own code is not probed$"):
            session.count(0x8080)
        assert session.read_memory(0x8000, 256) == bytes.fromhex("0000a0e1") * 64
        assert session.count(0x8000).state == "trap"
