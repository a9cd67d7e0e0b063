"""Slots: within reach, never overlapping, given back without a trace."""

from __future__ import annotations

import re

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from armprobe.errors import Refused, TargetError, UsageError
from armprobe.isa.branch import reaches
from armprobe.patching import Pool, Slot, SlotAllocator
from armprobe.targets.base import Region

SITE = 0x10000000
#: the first and the last word that a site and the way back from it reach, both ways
LOWEST = SITE - 0x1FFFFF8
HIGHEST = SITE + 0x1FFFFFC
HINT = "name memory that the program does not use: slots=[Region(start, end)], or --slots START:END"


def allocator(bench, *free, regions=()):
    bench.free_ranges = list(free)
    return SlotAllocator(bench, regions=[Region(start, end) for start, end in regions])


def test_slots_come_from_one_chunk_until_it_is_full(bench):
    slots = allocator(bench, (0x20000, 0x80000))
    found = [slots.allocate(0x6000, near=0x8000) for _ in range(3)]
    assert found == [Slot(0x20000, 0x6000), Slot(0x26000, 0x6000), Slot(0x30000, 0x6000)]
    assert bench.given_out == {(0x20000, 0x10000), (0x30000, 0x10000)}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1)])
def test_freed_slots_that_touch_are_used_again_as_one(bench, order):
    slots = allocator(bench, (0x20000, 0x80000))
    three = [slots.allocate(64) for _ in range(3)]
    slots.allocate(64)
    for index in order:
        slots.free(three[index])
    assert slots.allocate(192) == Slot(three[0].address, 192)


def test_chunk_that_was_full_is_used_again_after_a_slot_in_it_was_freed(bench):
    slots = allocator(bench, (0x20000, 0x30000))
    first, _ = slots.allocate(0x8000), slots.allocate(0x8000)
    with pytest.raises(Refused):
        slots.allocate(4)
    slots.free(first)
    assert slots.allocate(0x8000) == first


def test_size_is_rounded_up_to_words_and_the_address_is_aligned(bench):
    slots = allocator(bench, (0x20000, 0x80000))
    assert slots.allocate(1) == Slot(0x20000, 4)
    assert slots.allocate(5, align=64) == Slot(0x20040, 8)
    assert slots.allocate(4) == Slot(0x20004, 4)


@pytest.mark.parametrize(("size", "align"), [(0, 4), (-4, 4), (4, 2), (4, 12), (4, 0)])
def test_impossible_size_or_alignment_is_an_error(bench, size, align):
    message = f"a slot has a size above 0 and an alignment of 4, 8, 16, ..., not {size} and {align}"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        allocator(bench).allocate(size, align=align)


@pytest.mark.parametrize(
    ("free", "address"),
    [((LOWEST, LOWEST + 16), LOWEST), ((HIGHEST - 12, HIGHEST + 4), HIGHEST - 12)],
    ids=["lowest", "highest"],
)
def test_slot_at_the_edge_of_reach_is_found_and_one_word_less_is_not(bench, free, address):
    bench.read_memory = lambda address, size: bytes(size)
    slot = allocator(bench, regions=[free]).allocate(16, near=SITE)
    assert slot == Slot(address, 16)
    assert reaches(SITE, slot.address)
    assert reaches(slot.end - 4, SITE + 4)
    with pytest.raises(Refused):
        allocator(bench, regions=[(free[0] + 4, free[1])]).allocate(16, near=SITE)
    shifted = (free[0] - 4, free[1] - 4) if address == LOWEST else (free[0] + 4, free[1] + 4)
    with pytest.raises(Refused):
        allocator(bench, regions=[shifted]).allocate(16, near=SITE)


def test_edges_of_reach_are_exact():
    """One word beyond either edge, the way there or the way back is out of reach."""
    assert reaches(SITE, LOWEST)
    assert reaches(LOWEST, SITE + 4)
    assert not reaches(SITE, LOWEST - 4)
    assert reaches(SITE, HIGHEST)
    assert reaches(HIGHEST, SITE + 4)
    assert not reaches(HIGHEST + 4, SITE + 4) or not reaches(SITE, HIGHEST + 4)


def test_chunk_out_of_reach_is_passed_over(bench):
    slots = allocator(bench, (0x20000, 0x30000), (SITE, SITE + 0x10000))
    assert slots.allocate(64).address == 0x20000
    assert slots.allocate(64, near=SITE).address == SITE
    assert slots.allocate(64, near=0x8000).address == 0x20040


def test_smaller_piece_is_taken_where_no_whole_chunk_is_free(bench):
    slots = allocator(bench, (0x20000, 0x22000))
    assert slots.allocate(0x1004) == Slot(0x20000, 0x1004)
    assert bench.given_out == {(0x20000, 0x2000)}


def test_slot_larger_than_a_chunk_gets_its_own(bench):
    assert allocator(bench, (0x20000, 0x80000)).allocate(0x20004).size == 0x20004
    assert bench.given_out == {(0x20000, 0x21000)}


def test_refusal_names_size_purpose_reach_and_reason(bench):
    message = (
        "bench has no 64 bytes of memory for code within branch reach of 0x10000000 (0x0e000008 to 0x11ffffff): "
        "the map is full"
    )
    with pytest.raises(Refused, match=f"^{re.escape(message)}$") as caught:
        allocator(bench, (0x20000, 0x30000)).allocate(64, near=SITE)
    assert caught.value.hint == HINT


def test_target_without_memory_for_slots_is_told_which_option_gives_some(bench):
    bench.executable_memory = None
    message = "bench has no 64 bytes of memory for data: the target has no memory to give"
    with pytest.raises(Refused, match=f"^{re.escape(message)}$") as caught:
        allocator(bench).allocate(64, pool=Pool.DATA)
    assert caught.value.hint == HINT


def test_given_region_goes_before_memory_of_the_target(bench):
    slots = allocator(bench, (0x20000, 0x30000), regions=[(0x9000, 0xA000)])
    assert slots.allocate(0x800).address == 0x9000
    assert slots.allocate(0x1000).address == 0x20000


def test_region_is_trimmed_to_whole_words(bench):
    bench.executable_memory = None
    slots = allocator(bench, regions=[(0x9001, 0x900F)])
    assert slots.allocate(8) == Slot(0x9004, 8)
    with pytest.raises(Refused):
        slots.allocate(4)


def test_alignment_is_found_in_a_fresh_piece_of_a_region(bench):
    bench.executable_memory = None
    bench.read_memory = lambda address, size: bytes(size)
    assert allocator(bench, regions=[(0x9004, 0x20000)]).allocate(0x8000, align=0x1000) == Slot(0xA000, 0x8000)


def test_small_region_serves_both_pools(bench):
    bench.executable_memory = None
    bench.read_memory = lambda address, size: bytes(size)
    slots = allocator(bench, regions=[(0x8000, 0x10000)])
    assert slots.allocate(64, pool=Pool.CODE).address == 0x8000
    assert slots.allocate(64, pool=Pool.DATA).address == 0xC000


def test_code_and_data_do_not_share_a_chunk_while_there_is_memory(bench):
    slots = allocator(bench, (0x20000, 0x40000))
    assert slots.allocate(64, pool=Pool.CODE).address == 0x20000
    assert slots.allocate(64, pool=Pool.DATA).address == 0x30000
    assert slots.allocate(64, pool=Pool.CODE).address == 0x20040


def test_last_memory_serves_both_pools(bench):
    slots = allocator(bench, (0x20000, 0x21000))
    assert slots.allocate(64, pool=Pool.CODE).address == 0x20000
    assert slots.allocate(64, pool=Pool.DATA).address == 0x20040


@pytest.mark.parametrize("wrong", [Slot(0x20000, 64), Slot(0x20040, 32), Slot(0x20080, 64)])
def test_freeing_what_is_not_in_use_is_an_error(bench, wrong):
    slots = allocator(bench, (0x20000, 0x30000))
    freed = slots.allocate(64)
    slots.allocate(64)
    slots.free(freed)
    message = f"no slot of {wrong.size} bytes at 0x{wrong.address:08x} is in use: was it freed before?"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        slots.free(wrong)


def test_island_lies_within_reach_and_jumps_anywhere(bench):
    slots = allocator(bench, (0x20000, 0x30000), (SITE, SITE + 0x10000))
    detour = slots.allocate(64, near=0x8000)
    island = slots.island(SITE, detour.address)
    assert (island.slot, island.target) == (Slot(SITE, 8), 0x20000)
    assert island.code == bytes.fromhex("04f01fe5 00000200")  # ldr pc, [pc, #-4]; .word 0x20000


def test_addresses_of_ours_are_known(bench):
    slots = allocator(bench, (0x20000, 0x30000))
    assert 0x20000 not in slots
    slots.allocate(4)
    assert [address in slots for address in (0x1FFFF, 0x20000, 0x2FFFF, 0x30000)] == [False, True, True, False]


def test_statistics_count_bytes_by_pool(bench):
    slots = allocator(bench, (0x20000, 0x80000))
    slots.allocate(100)
    slots.free(slots.allocate(50))
    slots.allocate(8, pool=Pool.DATA)
    code, data = slots.statistics()[Pool.CODE], slots.statistics()[Pool.DATA]
    assert (code.chunks, code.reserved, code.used, code.free, code.slots) == (1, 0x10000, 100, 0x10000 - 100, 1)
    assert (data.chunks, data.reserved, data.used, data.free, data.slots) == (1, 0x10000, 8, 0x10000 - 8, 1)


def test_close_gives_back_every_chunk_and_every_byte_of_a_region(bench):
    memory = bytes(bench.memory)
    slots = allocator(bench, (0x20000, 0x80000), regions=[(0x9000, 0xA000)])
    own = slots.allocate(0x1000)
    bench.write_memory(own.address, bytes(own.size))
    slots.allocate(64)
    slots.close()
    assert bytes(bench.memory) == memory
    assert not bench.given_out
    assert own.address not in slots
    assert slots.allocate(0x1000) == own


def test_close_lists_what_could_not_be_given_back(bench):
    slots = allocator(bench, (0x20000, 0x80000), regions=[(0x9000, 0xA000)])
    slots.allocate(0x1000)
    slots.allocate(64)

    def fail(action, address):
        if action == "write":
            raise TargetError("the memory is gone")

    bench.before = fail
    with pytest.raises(TargetError, match=r"^1 pieces of slot memory could not be given back$") as caught:
        slots.close()
    assert caught.value.evidence == "0x00009000..0x0000a000: the memory is gone"
    assert not bench.given_out


def test_ten_thousand_slots_cost_few_looks_at_holes(bench):
    """Counts work instead of time: a chunk without a large enough hole is looked through once, not for every slot."""
    looks = 0

    class Holes(list):
        def __iter__(self):
            nonlocal looks
            for hole in super().__iter__():
                looks += 1
                yield hole

    slots = allocator(bench, (0x100000, 0x1000000))
    small = [slots.allocate(32) for _ in range(10_000)]
    for slot in small[::2]:
        slots.free(slot)
    for chunk in slots._chunks:
        chunk.holes = Holes(chunk.holes)
    large = [slots.allocate(64) for _ in range(5_000)]
    assert len({slot.address for slot in large}) == 5_000
    # The chunk that is being filled is looked through each time; all 5,000 holes each time would be 25 million.
    assert looks < 150_000


class SlotMachine(RuleBasedStateMachine):
    """Random life of an allocator against a plain list of what is in use."""

    slots_in_use = Bundle("slots")

    def __init__(self, make_bench):
        super().__init__()
        self.target = make_bench()
        self.target.free_ranges = [(0x100000, 0x110000), (0x4000000, 0x4003000), (0x8000000, 0x8020000)]
        self.original = bytes(self.target.memory)
        self.allocator = SlotAllocator(self.target, regions=[Region(0x8004, 0xA800)])
        self.used: list[Slot] = []

    @rule(
        target=slots_in_use,
        size=st.sampled_from([1, 4, 12, 100, 0x1000, 0x9000]),
        near=st.sampled_from([None, 0x8000, 0x2000000, 0x4000000, 0x7000000]),
        align=st.sampled_from([4, 8, 64, 4096]),
        pool=st.sampled_from(Pool),
    )
    def allocate(self, size, near, align, pool):
        try:
            slot = self.allocator.allocate(size, near=near, align=align, pool=pool)
        except Refused:
            return None
        assert slot.size == -(-size // 4) * 4
        assert slot.address % align == 0
        assert all(slot.end <= other.address or other.end <= slot.address for other in self.used)
        if near is not None:
            assert all(reaches(near, word) and reaches(word, near + 4) for word in (slot.address, slot.end - 4))
        assert slot.address in self.allocator
        assert slot.end - 1 in self.allocator
        if slot.address < 0xC000:
            self.target.write_memory(slot.address, bytes(slot.size))
        self.used.append(slot)
        return slot

    @rule(slot=consumes(slots_in_use))
    def free(self, slot):
        if slot in self.used:
            self.allocator.free(slot)
            self.used.remove(slot)

    @rule()
    def close(self):
        self.allocator.close()
        self.used.clear()
        assert not self.target.given_out
        assert self.target.memory == self.original

    @invariant()
    def bytes_add_up(self):
        statistics = self.allocator.statistics().values()
        assert sum(pool.used for pool in statistics) == sum(slot.size for slot in self.used)
        assert sum(pool.slots for pool in statistics) == len(self.used)
        holes = sum(end - start for chunk in self.allocator._chunks for start, end in chunk.holes)
        assert sum(pool.free for pool in statistics) == holes


def test_random_life_of_an_allocator(make_bench):
    run_state_machine_as_test(
        lambda: SlotMachine(make_bench), settings=settings(max_examples=40, stateful_step_count=40)
    )
