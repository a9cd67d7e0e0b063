"""Records with memory in them: where fields stand, what they are, and how they are shown."""

from __future__ import annotations

import struct

import pytest

from armprobe.errors import UsageError
from armprobe.events.record import MAX_TEXT, NAMED_TYPES, TYPES, FieldType, make_layout
from armprobe.events.source import Memory, Number, Text
from armprobe.events.values import show, unpack

POINTER = Memory("r0", 0)
STRING = NAMED_TYPES["string"]


def test_faults_come_first_and_only_fields_in_memory_have_a_bit():
    layout = make_layout([
        ("a", "r0", TYPES["u8"]), ("b", POINTER, TYPES["u8"]), ("c", POINTER, NAMED_TYPES["u64"]),
        ("d", POINTER, FieldType(2, "u", None, 3)), ("e", Number(5), TYPES["u8"]), ("f", POINTER, STRING),
    ])  # fmt: skip
    assert [(field.name, field.offset, field.fault) for field in layout.fields] == [
        ("a", 8, None), ("b", 9, 0), ("c", 12, 1), ("d", 20, 2), ("e", 0, None), ("f", 28, None),
    ]  # fmt: skip
    assert (layout.words, layout.faults, layout.text, layout.longest) == (8, 1, MAX_TEXT, 8 + MAX_TEXT // 4)


def test_more_than_32_fields_in_memory_have_more_words_of_faults():
    layout = make_layout((f"f{number}", POINTER, TYPES["u8"]) for number in range(33))
    assert (layout.faults, layout.fields[0].offset, layout.fields[32].fault) == (2, 12, 32)
    record = struct.pack("<III", 21, 1 << 31, 1) + bytes(range(33))
    values = unpack(layout, record)
    assert [name for name, value in values.items() if value is None] == ["f31", "f32"]
    assert values["f30"] == 30


def test_strings_share_the_room_that_is_left():
    layout = make_layout((f"s{number}", POINTER, STRING) for number in range(10))
    assert (layout.words, layout.text, layout.longest) == (11, 96, 251)
    with pytest.raises(UsageError) as caught:
        make_layout([("s", POINTER, FieldType(4, "string", None, 64))])
    assert str(caught.value) == "a record holds at most 255 words, which leaves 8 bytes for each of 64 strings"
    assert caught.value.hint == "ask for fewer: 16 bytes are the least"


def test_strings_are_where_their_word_says():
    layout = make_layout(
        [("a", POINTER, STRING), ("b", POINTER, FieldType(4, "string", None, 2)), ("c", "r1", TYPES["u8"])]
    )
    record = struct.pack("<5I", 8, 3 << 16 | 20, 0, 1 << 16 | 24, 9) + b"hi\0?" + b"\0???" + b"????"
    assert unpack(layout, record) == {"a": "hi", "b": [None, ""], "c": 9}


def test_a_string_that_changed_while_it_was_copied_ends_at_its_first_zero():
    layout = make_layout([("a", POINTER, STRING)])
    assert unpack(layout, struct.pack("<2I", 4, 6 << 16 | 8) + b"ab\0de\0??") == {"a": "ab"}
    assert unpack(layout, struct.pack("<2I", 4, 3 << 16 | 8) + b"abc?") == {"a": "abc"}


def test_constants_are_in_no_record():
    layout = make_layout([
        ("n", Number(-2), TYPES["s16"]), ("x", Number(0xFFFFFFFF), NAMED_TYPES["s64"]), ("t", Text("hey"), STRING),
        ("b", Number(0xF5), FieldType(1, "u", (4, 4))),
    ])  # fmt: skip
    assert layout.words == 1
    assert unpack(layout, bytes(4)) == {"n": -2, "x": 0xFFFFFFFF, "t": "hey", "b": 15}


def test_bit_fields_and_arrays_of_them_are_taken_out_by_the_reader():
    layout = make_layout([("a", "r0", FieldType(2, "u", (5, 3))), ("b", POINTER, FieldType(1, "u", (4, 4), 3))])
    record = struct.pack("<IIHxx", 4, 0, 0b1011_0101_1010_1111) + bytes([0x1F, 0x2F, 0x3F, 0xFF])
    assert unpack(layout, record) == {"a": 0b10101, "b": [1, 2, 3]}


def test_symbols_are_numbers_and_symstrs_are_names():
    layout = make_layout([("a", "r0", NAMED_TYPES["symbol"]), ("b", "r0", NAMED_TYPES["symstr"])])
    record = struct.pack("<3I", 3, 0x8004, 0x8004)
    assert unpack(layout, record, describe=lambda address: f"f+{address:#x}") == {"a": 0x8004, "b": "f+0x8004"}


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (NAMED_TYPES["u64"], 1 << 63, "9223372036854775808"),
        (NAMED_TYPES["s64"], -1, "-1"),
        (NAMED_TYPES["x64"], 1 << 63, "0x8000000000000000"),
        (NAMED_TYPES["symbol"], 0x8004, "f+0x4/0x10"),
        (NAMED_TYPES["symstr"], "f+0x4/0x10", '"f+0x4/0x10"'),
        (STRING, "a b", '"a b"'),
        (STRING, 'say "a"', '"say "a""'),
        (STRING, "line\nline\x1b", '"line\\nline\\x1b"'),
        (STRING, "", '""'),
        (STRING, None, "(fault)"),
        (TYPES["u8"], None, "(fault)"),
        (FieldType(1, "u", (4, 0)), 7, "7"),
        (FieldType(1, "x", None, 3), [1, 2, 255], "{0x1,0x2,0xff}"),
        (FieldType(1, "char", None, 2), [65, 0], "{'A','\\x00'}"),
        (FieldType(4, "string", None, 2), ["a", None], '{"a",(fault)}'),
        (FieldType(4, "symbol", None, 1), [0x8004], "{f+0x4/0x10}"),
    ],
)
def test_values_are_shown_as_in_the_kernels_trace(kind, value, text):
    assert show(kind, value, lambda address: f"f+{address - 0x8000:#x}/0x10") == text
