"""Where a kernel's time begins, in memory that is made up."""

import struct

import pytest

from armprobe.targets.kernelclock import find_start

CODE, DATA, READER = 0xC040_C750, 0xC149_7780, 0xC0CF_7444
#: movw r5, #0x7780; an instruction; movt r5, #0xc149; movw r6, #1; movt r6, #2
WORDS = (0xE3075780, 0xE24DD00C, 0xE34C5149, 0xE3006001, 0xE3406002)
FREQUENCY = 62_500_000
#: ns, ticks, mask, reader, factor, shift: 16 ns a tick
FIRST = (1_000, 5_000_000, (1 << 57) - 1, READER, 16 << 24, 24)
SECOND = (2_000_001_600, 130_000_000, (1 << 57) - 1, READER, 16 << 24, 24)


def find(first=FIRST, second=SECOND, *, sequence=0, functions=("sched_clock",), words=WORDS):
    parts = {
        CODE: struct.pack(f"<{len(words)}I", *words),
        DATA: struct.pack("<II", sequence, 0) + b"".join(struct.pack("<3Q3I4x", *part) for part in (first, second)),
    }

    def read(address, size):
        return parts.get(address, b"")[:size].ljust(size, b"\0")

    return find_start(read, dict.fromkeys(functions, CODE) | {"arch_timer_read": READER}, FREQUENCY)


@pytest.mark.parametrize(("sequence", "start"), [(0, 5_000_000 - 62), (1, 130_000_000 - 125_000_100)])
def test_time_begins_where_the_copy_that_holds_says(sequence, start):
    assert find(sequence=sequence) == start


def test_newer_kernels_have_it_in_another_function():
    assert find(functions=("sched_clock_noinstr",)) == 5_000_000 - 62


def test_a_timer_that_began_before_the_count_is_as_good():
    assert find((2_000, 10, *FIRST[2:])) == (10 - 125) % (1 << 64)


@pytest.mark.parametrize(
    "first",
    [
        (*FIRST[:4], 17 << 24, 24),
        (*FIRST[:4], 16 << 24, 40),
        (*FIRST[:3], READER + 4, *FIRST[4:]),
        (*FIRST[:2], 0, *FIRST[3:]),
        (*FIRST[:2], 0b101, *FIRST[3:]),
    ],
    ids=["another timer", "shift", "no function", "no mask", "no mask of ones"],
)
def test_what_does_not_fit_the_timer_is_not_believed(first):
    assert find(first) is None


def test_a_kernel_without_the_function_says_nothing():
    assert find(functions=()) is None
    assert find(words=WORDS[:2]) is None
