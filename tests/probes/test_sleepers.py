"""What is searched for tasks that sleep in slots, what counts, and what stays for them."""

from __future__ import annotations

import pytest
from tests.targets.stub import Stub

from armprobe import Image, Region, Session
from armprobe.probes.in_place import describe
from armprobe.probes.sleepers import SEARCHED, SlotInUse, find_sleepers, writable_memory
from armprobe.symbols.image import Segment
from armprobe.symbols.table import SymbolTable
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget

BASE = 0x8000
WORDS = [0xE1A00000] * 16  # mov r0, r0
SLOTS = Region(0x100000, 0x110000, name="slots")
DATA = Region(0x200000, 0x201000, name="data")
SLOT = (SLOTS.start, SLOTS.start + 0x20, BASE)


def fake() -> FakeTarget:
    target = FakeTarget(WORDS, base=BASE)
    target.map_memory(SLOTS)
    target.map_memory(DATA)
    return target


def found(word: int, *, at: int = DATA.start + 0x40, pads: tuple[int, ...] = ()) -> list[str]:
    target = fake()
    target.write_memory(at, word.to_bytes(4, "little"))
    spans = [(region.start, region.end) for region in target.regions]
    return list(map(str, find_sleepers(target, [SLOT], spans, SLOTS.__contains__, pads)))


@pytest.mark.parametrize("offset", [0, 4, 0x1C, 0x20, 0x24])
def test_word_that_is_an_address_in_a_slot_or_saved_behind_it_counts(offset):
    assert found(SLOT[0] + offset) == [
        "0x00100000..0x00100020, code of the probe at 0x00008000: the word at 0x00200040 points there"
    ]


@pytest.mark.parametrize("word", [SLOT[0] - 4, SLOT[0] + 0x28, SLOT[0] + 2])
def test_other_words_do_not_count(word):
    assert found(word) == []


def test_words_in_our_own_memory_and_pads_do_not_count():
    assert found(SLOT[0], at=SLOTS.end - 4) == []
    assert found(SLOT[0] + 8, pads=(SLOT[0] + 8,)) == []


def test_what_the_program_has_there_from_the_first_does_not_count():
    """A text, for example, whose letters are an address in a slot."""
    target = fake()
    word = (SLOT[0] + 4).to_bytes(4, "little")
    target.write_memory(DATA.start + 8, word + word)
    image = Image("firmware", BASE, (Segment(DATA.start, bytes(8) + word, 0x100),))
    (sleeper,) = find_sleepers(target, [SLOT], [(DATA.start, DATA.end)], SLOTS.__contains__, (), image)
    assert sleeper.where == f"the word at 0x{DATA.start + 12:08x}"
    target.write_memory(DATA.start + 12, bytes(4))
    assert find_sleepers(target, [SLOT], [(DATA.start, DATA.end)], SLOTS.__contains__, (), image) == []


def test_memory_of_the_image_comes_first_and_all_of_it_is_bounded():
    target = fake()
    code, data = Segment(0x10000, b"code", 0x1000, writable=False), Segment(0x200800, b"", 0x1000)
    image = Image("firmware", BASE, (code, data))
    searched = writable_memory(target, image)
    spans = searched.spans
    assert searched.complete
    assert spans[0] == (0x200800, 0x201800)
    assert (0x200000, 0x200800) in spans
    assert sum(end - start for start, end in spans) == sum(
        end - start for start, end in [(0x200000, 0x201800), (SLOTS.start, SLOTS.end), (BASE, BASE + 0x1000)]
    )
    target.map_memory(Region(0x1000000, 0x1000000 + 2 * SEARCHED))
    searched = writable_memory(target, None)
    assert sum(end - start for start, end in searched.spans) == SEARCHED
    assert not searched.complete


def test_memory_that_nobody_told_of_is_not_all_that_was_searched():
    with Stub(fake(), packet_size=0x1000) as stub:
        remote = GdbRemoteTarget.connect(stub.address)
        searched = writable_memory(remote, Image("firmware", BASE, (Segment(0x200800, b"", 0x1000),)))
        assert searched.spans == ((0x200800, 0x201800),)
        assert not searched.complete
        remote.detach()


def test_code_that_stays_for_a_task_needs_no_host():
    target = fake()
    with Stub(target, packet_size=0x1000, breakpoints=()) as stub:
        remote = GdbRemoteTarget.connect(stub.address, memory=[DATA, SLOTS, Region(BASE, BASE + 0x1000)])
        image = Image.from_words(WORDS, base=BASE)
        session = Session(remote, symbols=SymbolTable.from_image(image), slots=[SLOTS], detach=remote.detach)
        session.probe(BASE + 8, lambda _: None, post_handler=lambda _: None)
        copies = [at for at in range(SLOTS.start, SLOTS.end, 4) if word_at(target, at) == WORDS[0]]
        traps = [at for at in range(SLOTS.start, SLOTS.end, 4) if word_at(target, at) == remote.trap]
        assert copies
        assert traps
        target.write_memory(DATA.start, copies[-1].to_bytes(4, "little"))
        session.close()
    assert [slot.where for slot in session.in_place] == ["the word at 0x00200000"]
    assert word_at(target, BASE + 8) == WORDS[2]
    assert [word_at(target, at) for at in copies] == [WORDS[0]] * len(copies)
    assert all(word_at(target, at) >> 24 == 0xEA for at in traps)


def test_many_slots_in_place_are_told_in_one_sentence():
    slots = [SlotInUse(0x1000 * n, 0x1000 * n + 0x20, BASE, "the word at 0x00200040") for n in range(1, 6)]
    assert describe(slots) == (
        "5 slots at 0x00001000..0x00001020, 0x00002000..0x00002020, 0x00003000..0x00003020 and 2 more places were left "
        "in place, as the word at 0x00200040 may be the saved PC of a sleeping task; they are in memory that the "
        "program does not use, and harmless"
    )


def word_at(target: FakeTarget, address: int) -> int:
    return int.from_bytes(target.read_memory(address, 4), "little")
