"""Free address space, and processors."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import Refused
from armprobe.targets.base import Region
from armprobe.targets.machine import CPUS, cpu_named, find_gap, gaps, page_ranges


def test_gaps_are_whole_pages_that_no_region_touches() -> None:
    taken = [Region(0x5000, 0x5801), Region(0x2100, 0x3000), Region(0x2800, 0x2900)]
    assert gaps(taken, 0x1001, 0x8FFF) == [(0x3000, 0x5000), (0x6000, 0x8000)]


def test_gaps_of_empty_space_are_all_of_it() -> None:
    assert gaps([], 0, 1 << 32) == [(0, 1 << 32)]


def test_gaps_of_full_space_are_none() -> None:
    assert gaps([Region(0, 1 << 32)], 0x1000, 0x9000) == []


def test_room_is_found_at_the_lowest_address_but_not_where_null_pointers_lead() -> None:
    assert find_gap([], 4096) == 0x10000
    assert find_gap([Region(0x11000, 0x12000)], 8192) == 0x12000


def test_room_ends_exactly_at_the_upper_bound() -> None:
    assert find_gap([], 8192, low=0x20000, high=0x22000) == 0x20000
    message = "no 8192 bytes of unused address space in 0x00020000..0x00021fff"
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        find_gap([], 8192, low=0x20000, high=0x21FFF)


def test_ranges_are_rounded_to_pages_and_joined() -> None:
    assert page_ranges([(0x5001, 0x5002), (0x1000, 0x2000), (0x2001, 0x2002), (0x9000, 0x9000)]) == [
        (0x1000, 0x3000),
        (0x5000, 0x6000),
    ]
    assert page_ranges([(8, 12), (0, 4), (4, 8)], unit=4) == [(0, 12)]


def test_processors_are_found_by_name() -> None:
    assert [cpu_named(cpu.name) for cpu in CPUS] == list(CPUS)
