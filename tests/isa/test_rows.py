"""The row notation: what it refuses, and what holds for the A32 table as a whole."""

from __future__ import annotations

import random
import re

import pytest

from armprobe.errors import Refused, TableError
from armprobe.isa.decoder import decode, find_row, table
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.row_pattern import parse_pattern
from armprobe.isa.rows import TableBuilder, check_table
from armprobe.verification.sample import sample, untaken

PLAIN = "cond:4 0001 imm24:24"


def build(*rows):
    """A table of rows: (name, pattern, columns)."""
    builder = TableBuilder()
    for name, pattern, columns in rows:
        builder.row(name, pattern, **{"relocate": "verbatim", **columns})
    return builder.rows


def one(pattern=PLAIN, **columns):
    return build(("X", pattern, columns))


def nested():
    builder = TableBuilder()
    with builder.ordered(), builder.ordered():
        pass


def same_group_number_in_two_tables():
    found = []
    for name in "XY":
        builder = TableBuilder()
        with builder.ordered():
            builder.row(name, PLAIN, relocate="verbatim")
        found += builder.rows
    return found


REFUSED = {
    "pattern of 31 bits": (
        lambda: one("cond:4 1010 imm24:23"),
        "X: pattern describes 31 bits, not 32: 'cond:4 1010 imm24:23'",
    ),
    "pattern of 33 bits": (
        lambda: one("cond:4 1010 imm24:24 0"),
        "X: pattern describes 33 bits, not 32: 'cond:4 1010 imm24:24 0'",
    ),
    "token that is neither bits nor field": (
        lambda: one("cond:4 1012 imm24:24"),
        "X: cannot read '1012' in pattern 'cond:4 1012 imm24:24'",
    ),
    "should-be bit without its parenthesis": (
        lambda: one("cond:4 101(1 imm24:24"),
        "X: cannot read '101(1' in pattern 'cond:4 101(1 imm24:24'",
    ),
    "field twice": (
        lambda: one("cond:4 1010 Rn:4 Rn:4 imm16:16"),
        "X: field 'Rn' stands twice in 'cond:4 1010 Rn:4 Rn:4 imm16:16'",
    ),
    "field without bits": (
        lambda: one("cond:4 1010 none:0 imm24:24"),
        "X: field 'none' has no bits in 'cond:4 1010 none:0 imm24:24'",
    ),
    "unknown strategy": (lambda: one(relocate="copy"), "X: unknown relocation strategy 'copy'"),
    "refusal without a reason": (
        lambda: one(relocate="refuse"),
        "X: a reason belongs to relocate='refuse', and only to it",
    ),
    "reason without a refusal": (
        lambda: one(reason="because"),
        "X: a reason belongs to relocate='refuse', and only to it",
    ),
    "unknown effect": (lambda: one(effects="barrier magic"), "X: unknown effects ['magic']"),
    "groups within groups": (nested, "ordered groups do not nest"),
    "name twice": (
        lambda: build(("X", "cond:4 0001 imm24:24", {}), ("X", "cond:4 0010 imm24:24", {})),
        "X: the name stands twice",
    ),
    "overlap": (
        lambda: build(("X", "cond:4 0001 imm24:24", {}), ("Y", "cond:4 000 imm25:25", {})),
        "Y: overlaps X, and no ordered group declares it",
    ),
    "overlap across tables": (same_group_number_in_two_tables, "Y: overlaps X, and no ordered group declares it"),
    "register that is no field": (lambda: one(reads="Rn"), "X: 'Rn' is no core register of the row"),
    "register list that is no field": (lambda: one(reads="registers"), "X: ['registers'] are no fields of the row"),
    "immediate as a register": (lambda: one(writes="imm24"), "X: 'imm24' is no core register of the row"),
    "vector register that is none": (lambda: one(vreads="Dx"), "X: 'Dx' is no vector register"),
    "flags that are none": (lambda: one(flags_written="NZX"), "X: 'NZX' are no flags"),
    "memory that is neither load nor store": (
        lambda: one(memory="read"),
        "X: memory is 'none', 'load', 'store' or 'load store', not 'read'",
    ),
    "condition over an unknown name": (lambda: one(unpredictable="Rn == 15"), "X: ['Rn'] are no fields of the row"),
    "condition that is no expression": (
        lambda: one(undefined="imm24 =="),
        "X: \"    if imm24 ==: return ('undefined', 'imm24 ==')\\n\" is no expression",
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSED)
def test_a_table_that_breaks_a_rule_is_refused(rule):
    make, message = REFUSED[rule]
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        check_table(make())


def test_rows_of_one_ordered_group_may_overlap_and_the_first_wins():
    builder = TableBuilder()
    with builder.ordered():
        builder.row("X", "cond:4 0001 imm24:24", relocate="verbatim")
        builder.row("Y", "cond:4 000 imm25:25", relocate="verbatim")
    check_table(builder.rows)


def test_a_conditional_row_does_not_match_the_unconditional_space():
    rows = build(("X", "cond:4 0001 imm24:24", {}), ("Y", "1111 0001 imm24:24", {}))
    check_table(rows)
    assert [row.matches(0xF1000000) for row in rows] == [False, True]
    assert [row.matches(0xE1000000) for row in rows] == [True, False]


def test_a_pattern_tells_fixed_should_be_ignored_and_field_bits_apart():
    assert parse_pattern("X", "01(0)(1)- a:2 b=10 c:23") == (
        0xC1800000,
        0x41000000,
        0x30000000,
        0x10000000,
        {"a": (25, 3), "b": (23, 3), "c": (0, 0x7FFFFF)},
    )


def test_encode_fills_fixed_and_should_be_bits_and_wants_every_free_field():
    (row,) = one("cond:4 0001 (1)(0) Rn=1111 imm:18")
    assert row.encode(cond=14, imm=5) == row.encode(cond=14, imm=5, Rn=15) == 0xE1BC0005
    wrong = (
        ({"cond": 14}, "X: fields are ['Rn', 'cond', 'imm'], not ['cond']"),
        ({"cond": 14, "imm": 5, "Rm": 1}, "X: fields are ['Rn', 'cond', 'imm'], not ['Rm', 'cond', 'imm']"),
        ({"cond": 14, "imm": 1 << 18}, "X: imm=262144 does not fit in 18 bits"),
        ({"cond": 14, "imm": 5, "Rn": 3}, "X: a fixed field has another value in {'cond': 14, 'imm': 5, 'Rn': 3}"),
    )
    for fields, message in wrong:
        with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
            row.encode(**fields)


def test_columns_left_out_are_pessimistic():
    (row,) = one()
    usage = row.usage(0xE1000000)
    assert (usage.reads, usage.writes, usage.flags_read, usage.flags_written) == (0xFFFF, 0xFFFF, 63, 63)
    assert (usage.loads, usage.stores, usage.stack) == (True, True, None)


def test_should_be_bits_are_unpredictable_and_undefined_comes_first():
    (row,) = one("cond:4 0001 (1)(0) imm:22", undefined="imm == 1", unpredictable="imm == 2")
    assert row.invalid(0xE1800000) is None
    assert row.invalid(0xE1000000) == ("unpredictable", "should-be bits 0x00c00000 are not 0x00800000")
    assert row.invalid(0xE1000001) == ("undefined", "imm == 1")
    assert row.invalid(0xE1800002) == ("unpredictable", "imm == 2")


# The tables

both_sets = pytest.mark.parametrize("instruction_set", InstructionSet)


@both_sets
def test_the_table_keeps_the_rules(instruction_set):
    check_table(table(instruction_set))
    assert {row.instruction_set for row in table(instruction_set)} == {instruction_set}


@both_sets
def test_no_row_is_shadowed(instruction_set):
    rows = table(instruction_set)
    for row in rows:
        word = untaken(row, [other for other in rows[: rows.index(row)] if row.group and other.group == row.group])
        assert word is not None, f"no word reaches {row.name}: earlier rows of its group take all"
        found = find_row(word, instruction_set)
        assert found is row, f"{row.name}: 0x{word:08x} goes to {found}"


def valid_words(row):
    for word in sample([row], 300, seed=1):
        try:
            insn = decode(word, row.instruction_set)
        except Refused:
            continue
        if insn.row is row:
            yield insn


@both_sets
def test_every_row_has_valid_words(instruction_set):
    without = [row.name for row in table(instruction_set) if next(valid_words(row), None) is None]
    assert without == []


@both_sets
def test_every_word_matches_rows_of_one_group_and_the_first_of_them_is_found(instruction_set):
    rows = table(instruction_set)
    generator = random.Random(7)
    for number in range(2500):
        word = generator.getrandbits(32)
        if instruction_set is InstructionSet.T32:
            word = word | 0xE8000000 if number % 2 else word % 0xE800
        matching = [row for row in rows if row.matches(word)]
        assert find_row(word, instruction_set) is (matching[0] if matching else None), f"0x{word:08x}"
        if len(matching) > 1:
            assert matching[0].group, f"0x{word:08x}"
            assert {row.group for row in matching} == {matching[0].group}, f"0x{word:08x}"


@pytest.mark.slow
@both_sets
def test_what_is_copied_verbatim_never_reads_pc(instruction_set):
    for row in table(instruction_set):
        # an exception reads all registers: its handler may
        if row.relocate == "verbatim" and "exception" not in row.effects:
            for insn in valid_words(row):
                assert not insn.reads_pc, f"{row.name}: 0x{insn.word:08x} reads PC"
