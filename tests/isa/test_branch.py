"""Branch words and their range."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armprobe.errors import Refused, UsageError
from armprobe.isa.branch import branch_word, far_jump, reaches

SITE = 0x10000000
FARTHEST = SITE + 8 + 33554428
NEAREST_BACK = SITE + 8 - 33554432


def test_branch_to_the_last_word_within_reach_forwards():
    assert branch_word(SITE, FARTHEST) == 0xEA7FFFFF  # b .+0x2000004
    assert reaches(SITE, FARTHEST)


def test_branch_to_the_last_word_within_reach_backwards():
    assert branch_word(SITE, NEAREST_BACK) == 0xEA800000  # b .-0x1fffff8
    assert reaches(SITE, NEAREST_BACK)


def test_first_word_out_of_reach_forwards_is_refused_with_the_range():
    assert not reaches(SITE, FARTHEST + 4)
    message = "a branch at 0x10000000 reaches 0x0e000008 to 0x12000004, not 0x12000008"
    with pytest.raises(Refused, match=f"^{message}$"):
        branch_word(SITE, FARTHEST + 4)


def test_first_word_out_of_reach_backwards_is_refused_with_the_range():
    assert not reaches(SITE, NEAREST_BACK - 4)
    message = "a branch at 0x10000000 reaches 0x0e000008 to 0x12000004, not 0x0e000004"
    with pytest.raises(Refused, match=f"^{message}$") as caught:
        branch_word(SITE, NEAREST_BACK - 4)
    assert caught.value.hint == "put the code nearer, or go through an island"


@pytest.mark.parametrize(("source", "target"), [(0xFFFFFFF0, 0x10), (0x10, 0xFFFFFFF0)])
def test_branch_around_the_end_of_the_address_space_is_refused(source, target):
    assert not reaches(source, target)
    with pytest.raises(Refused):
        branch_word(source, target)


def test_range_in_a_message_ends_with_the_address_space():
    message = "a branch at 0xfffffff0 reaches 0xfdfffff8 to 0xfffffffc, not 0x00000010"
    with pytest.raises(Refused, match=f"^{message}$"):
        branch_word(0xFFFFFFF0, 0x10)


@pytest.mark.parametrize(("source", "target", "name"), [(0x8001, 0x9000, "source"), (0x8000, 0x9002, "target")])
def test_misaligned_address_is_refused(source, target, name):
    address = source if name == "source" else target
    message = f"the {name} of an A32 branch is a multiple of 4, but it is 0x{address:08x}"
    assert not reaches(source, target)
    with pytest.raises(Refused, match=f"^{message}$"):
        branch_word(source, target)


def test_address_beyond_32_bits_is_out_of_reach():
    assert not reaches(0xFFFFFFFC, 0x100000000)
    assert not reaches(-4, 0)


def test_condition_and_link_are_encoded():
    assert branch_word(0x8000, 0x8000, cond=0) == 0x0AFFFFFE  # beq .
    assert branch_word(0x8000, 0x8008, cond=13, link=True) == 0xDB000000  # blle .+8


@pytest.mark.parametrize("cond", [-1, 15])
def test_condition_no_branch_has_is_an_error(cond):
    message = f"a branch carries condition 0 to 14, not {cond}: with 15 the word is BLX, which leaves A32"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        branch_word(0x8000, 0x8000, cond=cond)


def test_far_jump_loads_the_word_behind_it():
    # ldr pc, [pc, #-4]; .word 0xc0008000
    assert far_jump(0xC0008000) == bytes.fromhex("04f01fe5 008000c0")


word_addresses = st.integers(0, 2**30 - 1).map(lambda n: n * 4)


@given(word_addresses, word_addresses, st.integers(0, 14), st.booleans())
def test_branch_goes_where_the_manual_says(source, target, cond, link):
    """Holds `branch_word` against DDI 0406C A8.8.18: imm32 = SignExtend(imm24:'00'), added to PC."""
    if not reaches(source, target):
        with pytest.raises(Refused):
            branch_word(source, target, cond=cond, link=link)
        assert not -0x2000000 <= target - source - 8 < 0x2000000
        return
    word = branch_word(source, target, cond=cond, link=link)
    assert word >> 28 == cond
    assert word >> 24 & 15 == (0b1011 if link else 0b1010)
    imm24 = word & 0xFFFFFF
    assert source + 8 + 4 * (imm24 - (imm24 >> 23 << 24)) == target


@given(st.integers(-0x2000010, 0x2000010).map(lambda n: n & ~3))
def test_reach_is_a_signed_24_bit_number_of_words(distance):
    assert reaches(0x40000000, 0x40000008 + distance) == (-(2**23) <= distance // 4 < 2**23)
