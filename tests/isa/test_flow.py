"""Where control goes, and exclusive sequences as compilers write them (gcc 12 -O2 -march=armv7-a -marm)."""

from __future__ import annotations

import random

import pytest

from armprobe.isa.decoder import decode, table
from armprobe.isa.flow import EXCLUSIVE_REACH, Flow, exclusive_sequence, flow, flow_of_word

BASE = 0x8000


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        # an ordinary instruction: mov r0, #1
        (0xE3A00001, Flow(next=0x8004, target=None, call=False, unknown=False)),
        # b .+0x48, beq .+0x48, b .
        (0xEA000010, Flow(next=None, target=0x8048, call=False, unknown=False)),
        (0x0A000010, Flow(next=0x8004, target=0x8048, call=False, unknown=False)),
        (0xEAFFFFFE, Flow(next=None, target=0x8000, call=False, unknown=False)),
        # bl .+0x48, blne .+0x48, blx .+0x4a (T32)
        (0xEB000010, Flow(next=0x8004, target=0x8048, call=True, unknown=False)),
        (0x1B000010, Flow(next=0x8004, target=0x8048, call=True, unknown=False)),
        (0xFB000010, Flow(next=0x8004, target=0x804A, call=True, unknown=False)),
        # blx r3
        (0xE12FFF33, Flow(next=0x8004, target=None, call=True, unknown=True)),
        # bx lr, bxeq lr, mov pc, lr, add pc, pc, r0, lsl #2
        (0xE12FFF1E, Flow(next=None, target=None, call=False, unknown=True)),
        (0x012FFF1E, Flow(next=0x8004, target=None, call=False, unknown=True)),
        (0xE1A0F00E, Flow(next=None, target=None, call=False, unknown=True)),
        (0xE08FF100, Flow(next=None, target=None, call=False, unknown=True)),
        # ldr pc, [r0], popne {pc}, rfeia r0
        (0xE590F000, Flow(next=None, target=None, call=False, unknown=True)),
        (0x18BD8000, Flow(next=0x8004, target=None, call=False, unknown=True)),
        (0xF8900A00, Flow(next=None, target=None, call=False, unknown=True)),
        # svc #0, bkpt #0, udf #0: control may come back
        (0xEF000000, Flow(next=0x8004, target=None, call=False, unknown=True)),
        (0xE1200070, Flow(next=0x8004, target=None, call=False, unknown=True)),
        (0xE7F000F0, Flow(next=0x8004, target=None, call=False, unknown=True)),
    ],
)
def test_flow_of_each_kind_of_instruction(word, expected):
    assert flow(decode(word), BASE) == expected


def test_flow_wraps_around_the_address_space_as_the_program_counter_does():
    assert flow(decode(0xE3A00001), 0xFFFFFFFC).next == 0  # mov r0, #1
    assert flow(decode(0xEAFFFFF0), 0x10).target == 0xFFFFFFD8  # b .-0x38


def test_every_row_that_may_write_pc_is_a_branch_or_unknown():
    seen = set()
    for row in table():
        plain = row.value | row.should_value | (0xE0000000 if row.conditional else 0)
        registers = [name for name, (_, mask) in row.fields.items() if mask in (15, 0xFFFF) and name != "cond"]
        for name in ["", *registers]:
            word = plain if not name else row.with_fields(plain, **{name: row.fields[name][1]})
            known = flow_of_word(word)
            if known is None or not decode(word).writes_pc:
                continue
            seen.add(row.name)
            assert known[0].unknown or known[0].target is not None, f"{row.name}: {word:08x}"
    assert {"B_A1", "BX_A1", "MOV_register_A1"} <= seen


def test_word_that_is_no_instruction_has_no_flow():
    assert flow_of_word(0xFFFFFFFF) is None


def sites(words, *, function=None, base=BASE):
    """The sites in an exclusive sequence, as {site index: (load index, store index)}."""
    program = {base + 4 * n: word for n, word in enumerate(words)}
    found = {n: exclusive_sequence(program.get, base + 4 * n, function=function) for n in range(len(words))}
    return {n: ((pair[0] - base) // 4, (pair[1] - base) // 4) for n, pair in found.items() if pair is not None}


FETCH_ADD = (
    0xE1A03000,  # 0: mov   r3, r0
    0xE1930F9F,  # 1: ldrex r0, [r3]
    0xE0802001,  # 2: add   r2, r0, r1
    0xE183CF92,  # 3: strex ip, r2, [r3]
    0xE35C0000,  # 4: cmp   ip, #0
    0x012FFF1E,  # 5: bxeq  lr
    0xEAFFFFF9,  # 6: b     1
)

COMPARE_AND_SWAP = (
    0xF57FF05B,  # 0: dmb   ish
    0xE1903F9F,  # 1: ldrex r3, [r0]
    0xE1530001,  # 2: cmp   r3, r1
    0x1A000002,  # 3: bne   8
    0xE180CF92,  # 4: strex ip, r2, [r0]
    0xE35C0000,  # 5: cmp   ip, #0
    0x1AFFFFF9,  # 6: bne   1
    0xE320F000,  # 7: nop
    0x03A00001,  # 8: moveq r0, #1
    0x13A00000,  # 9: movne r0, #0
    0xF57FF05B,  # 10: dmb  ish
    0xE12FFF1E,  # 11: bx   lr
)

FETCH_ADD_64 = (
    0xE1A0C000,  # 0: mov    ip, r0
    0xE92D4030,  # 1: push   {r4, r5, lr}
    0xE1BC0F9F,  # 2: ldrexd r0, [ip]
    0xE0904002,  # 3: adds   r4, r0, r2
    0xE0A15003,  # 4: adc    r5, r1, r3
    0xE1ACEF94,  # 5: strexd lr, r4, [ip]
    0xE35E0000,  # 6: cmp    lr, #0
    0x08BD8030,  # 7: popeq  {r4, r5, pc}
    0xEAFFFFF8,  # 8: b      2
)


def test_fetch_and_add():
    assert sites(FETCH_ADD) == {2: (1, 3), 3: (1, 3)}


def test_compare_and_swap_does_not_hold_its_exits():
    """Behind the failed comparison no store follows without a new load: probes there are fine."""
    assert sites(COMPARE_AND_SWAP) == {2: (1, 4), 3: (1, 4), 4: (1, 4)}


def test_fetch_and_add_of_two_words():
    assert sites(FETCH_ADD_64) == {3: (2, 5), 4: (2, 5), 5: (2, 5)}


@pytest.mark.parametrize(
    ("load", "store"),
    [
        (0xE1930F9F, 0xE183CF92),  # ldrex r0, [r3]; strex ip, r2, [r3]
        (0xE1D30F9F, 0xE1C3CF92),  # ldrexb; strexb
        (0xE1F30F9F, 0xE1E3CF92),  # ldrexh; strexh
        (0xE1B30F9F, 0xE1A3CF94),  # ldrexd r0, [r3]; strexd ip, r4, [r3]
        (0xE1930E9F, 0xE183CE92),  # ldaex r0, [r3]; stlex ip, r2, [r3]
        (0xE1D30E9F, 0xE1C3CE92),  # ldaexb; stlexb
        (0xE1F30E9F, 0xE1E3CE92),  # ldaexh; stlexh
        (0xE1B30E9F, 0xE1A3CE94),  # ldaexd r0, [r3]; stlexd ip, r4, [r3]
    ],
)
def test_every_width_and_ordering_counts(load, store):
    assert sites((load, 0xE0802001, store, 0xE35C0000)) == {1: (0, 2), 2: (0, 2)}  # add; ...; cmp


def test_store_at_a_lower_address_than_its_load_is_found():
    program = (
        0xEA000001,  # 0: b     3
        0xE183CF92,  # 1: strex ip, r2, [r3]
        0xE12FFF1E,  # 2: bx    lr
        0xE1930F9F,  # 3: ldrex r0, [r3]
        0xE0802001,  # 4: add   r2, r0, r1
        0xEAFFFFFA,  # 5: b     1
    )
    assert sites(program) == {1: (3, 1), 4: (3, 1), 5: (3, 1)}


def test_path_that_ends_in_clrex_holds_no_sequence():
    program = (
        0xE1930F9F,  # 0: ldrex r0, [r3]
        0x1A000002,  # 1: bne   5
        0xE320F000,  # 2: nop
        0xE183CF92,  # 3: strex ip, r2, [r3]
        0xE12FFF1E,  # 4: bx    lr
        0xE320F000,  # 5: nop
        0xF57FF01F,  # 6: clrex
        0xE183CF92,  # 7: strex ip, r2, [r3]
    )
    assert sites(program) == {1: (0, 3), 2: (0, 3), 3: (0, 3)}


def test_conditional_load_does_not_end_the_sequence_before_it():
    program = (
        0xE1930F9F,  # 0: ldrex   r0, [r3]
        0x01940F9F,  # 1: ldrexeq r0, [r4]
        0xE183CF92,  # 2: strex   ip, r2, [r3]
    )
    assert sites(program) == {1: (0, 2), 2: (1, 2)}


def test_store_without_a_load_is_no_sequence():
    assert sites((0xE3A00001, 0xE183CF92)) == {}  # mov r0, #1; strex ip, r2, [r3]


def test_call_between_load_and_store_counts_as_part_of_the_sequence():
    # ldrex r0, [r3]; bl .+0x48; strex ip, r2, [r3]
    assert sites((0xE1930F9F, 0xEB000010, 0xE183CF92)) == {1: (0, 2), 2: (0, 2)}


def test_code_of_a_called_function_is_not_part_of_the_sequence():
    program = (
        0xE1930F9F,  # 0: ldrex r0, [r3]
        0xEB000001,  # 1: bl    4
        0xF57FF01F,  # 2: clrex
        0xE12FFF1E,  # 3: bx    lr
        0xE183CF92,  # 4: strex ip, r2, [r3]
    )
    assert sites(program) == {}


def test_bounds_of_the_function_are_not_left():
    """A load just before the function belongs to another one."""
    words = (0xE1930F9F, 0xE320F000, 0xE183CF92)  # ldrex r0, [r3]; nop; strex ip, r2, [r3]
    assert sites(words, function=(BASE, BASE + 12)) == {1: (0, 2), 2: (0, 2)}
    assert sites(words, function=(BASE + 4, BASE + 12)) == {}
    assert sites(words, function=(BASE, BASE + 8)) == {}


def test_sequence_as_long_as_the_reach_is_found_and_a_longer_one_is_not():
    def program(gap):
        return (0xE1930F9F, *[0xE320F000] * gap, 0xE183CF92)  # ldrex r0, [r3]; nop ...; strex ip, r2, [r3]

    whole = sites(program(EXCLUSIVE_REACH - 1))
    assert whole == dict.fromkeys(range(1, EXCLUSIVE_REACH + 1), (0, EXCLUSIVE_REACH))
    assert EXCLUSIVE_REACH + 10 not in sites(program(EXCLUSIVE_REACH + 9))


def test_memory_that_cannot_be_read_ends_a_path():
    assert exclusive_sequence(lambda address: None, BASE) is None


def test_loop_without_exclusives_ends_the_search():
    assert sites((0xE2522001, 0x1AFFFFFD, 0xEAFFFFFE)) == {}  # subs r2, r2, #1; bne 0; b .


def random_walk(words, chance):
    """Walk through a program, taking conditions as they come; yield the index of each instruction and its condition."""
    index = 0
    for _ in range(200):
        if not 0 <= index < len(words):
            return
        holds = words[index] >> 28 >= 14 or chance.random() < 0.5
        yield index, holds
        step = flow(decode(words[index]), 4 * index)
        index = (step.target if holds and step.target is not None and not step.call else 4 * index + 4) // 4


@pytest.mark.slow
def test_every_site_that_a_walk_finds_between_load_and_store_is_known():
    """The monitor, followed along random walks: what lies between its opening and its use must have been found."""
    kinds = {"load": 0xE1930F9F, "store": 0xE183CF92, "clear": 0xF57FF01F}  # ldrex, strex, clrex
    others = [0xE320F000, 0x01930F9F, 0x0183CF92, 0xEB000040]  # nop, ldrexeq, strexeq, bl far away
    found = free = 0
    for seed in range(120):
        chance = random.Random(seed)
        size = chance.randrange(4, 20)
        words = [chance.choice([*kinds.values(), *others, others[0]]) for _ in range(size)]
        for index in chance.sample(range(size), size // 4):  # branches within the program
            offset = chance.randrange(size) - index - 2
            words[index] = chance.choice([0x0A000000, 0xEA000000]) | offset & 0xFFFFFF
        known = sites(words)
        inside = set()
        for _ in range(10):
            since_load: list[int] | None = None
            for index, holds in random_walk(words, chance):
                effects = decode(words[index]).row.effects
                if since_load is not None:
                    since_load.append(index)
                if "monitor_store" in effects and since_load is not None and holds:
                    inside.update(since_load)
                if holds and effects & {"monitor_load", "monitor_store", "monitor_clear"}:
                    since_load = [] if "monitor_load" in effects else None
        listing = " ".join(f"{word:08x}" for word in words)
        assert inside <= known.keys(), f"seed {seed}: {inside - known.keys()} of {listing}"
        found += len(inside)
        free += size - len(known)
    assert found > 120
    assert free > 120
