import random
import struct

import pytest

from armprobe.errors import Refused
from armprobe.isa.branch import branch_word
from armprobe.symbols.kerneltables import CodeTables, find_tables

BASE, WORDS = 0xC0300000, 1024
MOV, NOP, BUILT_NOP = 0xE1A00001, 0xE1A00000, 0xE320F000
ACCESSES = [BASE + 40 * number for number in range(20)]
LABELS = [BASE + 0x800 + 16 * number for number in range(24)]


def kernel(*, accesses=ACCESSES, labels=LABELS, seed=1):
    """Code, and constants that have both tables amid other words, some of them addresses of code."""
    noise = random.Random(seed)
    code = [MOV] * WORDS
    jumps = []
    for number, place in enumerate(labels):
        target = place + 8 * (number % 5) - 8 & ~3
        code[(place - BASE) // 4] = (BUILT_NOP, NOP, branch_word(place, target))[number % 3]
        jumps.append((place, target, 0xC2000000 + 8 * number | number & 1))
    noise.shuffle(jumps)
    # A label in code of the start, which is gone.
    jumps.insert(5, (BASE + 0x800000, BASE + 0x800010, 0xC2001002))

    def other(count):
        return [noise.choice([0, noise.getrandbits(32), BASE + 4 * noise.randrange(WORDS)]) for _ in range(count)] + [0]

    pairs = [word for place in accesses for word in (place, BASE + 4 * noise.randrange(WORDS))]
    constants = [*other(500), *pairs, 0, *other(300), *(word for jump in jumps for word in jump), *other(200)]
    return tuple(b"".join(struct.pack("<I", word) for word in words) for words in (constants, code))


@pytest.mark.parametrize("seed", range(5))
def test_both_tables_are_found_amid_other_constants(seed):
    constants, code = kernel(seed=seed)
    assert find_tables(constants, code, BASE) == CodeTables(tuple(ACCESSES), tuple(LABELS)), f"{seed=}"


def test_kernel_without_jump_labels_has_none():
    constants, code = kernel(labels=[])
    assert find_tables(constants, code, BASE, jump_labels=False) == CodeTables(tuple(ACCESSES), ())


def test_missing_table_is_refused_with_what_follows():
    constants, code = kernel(labels=[])
    with pytest.raises(Refused) as refused:
        find_tables(constants, code, BASE)
    assert refused.value.message == (
        "the kernel's jump table was not found: nobody knows which of its code it rewrites by itself"
    )
    constants, code = kernel(accesses=[])
    with pytest.raises(Refused) as refused:
        find_tables(constants, code, BASE)
    assert refused.value.message == (
        "the kernel's exception table was not found: nobody knows which of its accesses may fault"
    )
