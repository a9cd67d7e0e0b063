"""An image that is not what runs on the target is refused before anything is written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.probes.interrupted import BASE, SITES, SLOTS, WORDS
from tests.targets.stub import Stub

import armprobe
from armprobe import Image
from armprobe.cli.main import main
from armprobe.errors import Refused
from armprobe.targets.fake import FakeTarget

RUNS = [0xE2800001, *WORDS[1:]]  # add r0, r0, #1; ...
HINT = "give the image that runs there; code that is loaded later is probed after that (--after)"


def of(words: list[int]) -> Image:
    """An image whose code is read-only, as a linker makes it."""
    image = Image.from_words(words, base=BASE, name="loop.elf")
    return replace(image, segments=tuple(replace(part, writable=False) for part in image.segments))


def test_another_build_is_refused_with_the_first_difference():
    other = of([0xE1A01001] * len(WORDS))
    fake = FakeTarget(RUNS, base=BASE)
    fake.map_memory(SLOTS)
    before = fake.read_memory(BASE, 4 * len(WORDS))
    with Stub(fake) as stub, armprobe.attach_gdb(stub.address, other, slots=[SLOTS]) as session:
        stub.requests.clear()
        with pytest.raises(Refused) as refused:
            session.count_all(SITES)
        where = f"0x{SITES[0]:08x}"
        assert refused.value.message == (
            f"{where} is not what runs on the target: 0x00008000 holds 0xe2800001, where the image has 0xe1a01001, "
            "and 64 of 64 words compared there differ"
        )
        assert refused.value.hint == HINT
        assert session.explain(SITES[0]).refused == refused.value.message
        assert not [request for request in stub.requests if request[:1] in b"ZGP"]
        assert fake.read_memory(BASE, 4 * len(WORDS)) == before


def test_a_place_that_the_program_has_changed_is_refused_alone():
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(SLOTS)
    fake.write_memory(SITES[2], b"\x01\x10\xa0\xe1")
    with Stub(fake) as stub, armprobe.attach_gdb(stub.address, of(WORDS), slots=[SLOTS]) as session:
        session.count(SITES[1])
        message = (
            f"0x{SITES[2]:08x} is not what runs on the target: 0x{SITES[2]:08x} holds 0xe1a01001, where the image has "
            "0xe1a00000"
        )
        with pytest.raises(Refused, match=f"^{message}$"):
            session.count(SITES[2])


def test_the_command_line_says_so(demo_elf, capsys):
    fake = FakeTarget(WORDS * 600, base=BASE)
    fake.map_memory(SLOTS)
    with Stub(fake) as stub:
        slots = f"{SLOTS.start:#x}:{SLOTS.end:#x}"
        assert main(["stat", str(demo_elf), "--gdb", stub.address, "--slots", slots, "-e", "malloc"]) == 1
        error = capsys.readouterr().err
    assert "error[AP200]: malloc is not what runs on the target: 0x00008000 holds 0xe1a00000, where" in error
    assert error.endswith(f"help: {HINT}\n")


@pytest.fixture
def demo_elf():
    from importlib.resources import as_file, files

    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        yield elf
