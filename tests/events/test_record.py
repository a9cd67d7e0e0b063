"""The layout of records."""

from __future__ import annotations

import pytest

from armprobe.errors import UsageError
from armprobe.events.record import TYPES, Field, make_header, make_layout, split_header
from armprobe.events.values import show, unpack


def test_fields_stand_at_their_natural_alignment_after_the_header():
    layout = make_layout([("a", "r0", TYPES["u8"]), ("b", "r1", TYPES["s16"]), ("c", "sp", TYPES["x32"])])
    assert layout.fields == (
        Field("a", "r0", TYPES["u8"], 4),
        Field("b", "r1", TYPES["s16"], 6),
        Field("c", "sp", TYPES["x32"], 8),
    )
    assert layout.words == 3


def test_a_record_without_fields_is_its_header():
    assert make_layout([]).words == 1


def test_unpack_gives_each_field_as_its_type():
    layout = make_layout([("a", "r0", TYPES["u8"]), ("b", "r1", TYPES["s16"]), ("c", "sp", TYPES["s8"])])
    record = make_header(5, layout.words).to_bytes(4, "little") + bytes.fromhex("ff aa feff 80 aaaaaa")
    assert unpack(layout, memoryview(record)) == {"a": 255, "b": -2, "c": -128}


@pytest.mark.parametrize(
    ("name", "number", "text"),
    [
        ("u8", 255, "255"),
        ("s8", -1, "-1"),
        ("x8", 255, "0xff"),
        ("u16", 0x8000, "32768"),
        ("s16", -0x8000, "-32768"),
        ("x32", 0xFFFFFFFF, "0xffffffff"),
        ("s32", -1, "-1"),
        ("char", 0x41, "'A'"),
        ("char", 0x0A, "'\\x0a'"),
    ],
)
def test_a_value_of_each_type_is_shown_as_in_the_kernels_trace(name, number, text):
    assert TYPES[name].name == name
    assert show(TYPES[name], number) == text


def test_the_header_holds_the_probe_and_the_size():
    assert make_header(0xABCDEF, 0x12) == 0xABCDEF12
    assert split_header(0xABCDEF12) == (0xABCDEF, 0x12)


@pytest.mark.parametrize(
    ("probe", "words", "message"),
    [
        (1 << 24, 1, "a probe number is 0 to 16777215, not 16777216"),
        (-1, 1, "a probe number is 0 to 16777215, not -1"),
        (1, 0, "a record has 1 to 255 words, not 0"),
        (1, 256, "a record has 1 to 255 words, not 256"),
    ],
)
def test_a_header_refuses_what_it_cannot_hold(probe, words, message):
    with pytest.raises(UsageError) as error:
        make_header(probe, words)
    assert str(error.value) == message


def test_a_record_too_long_for_its_header_is_refused():
    with pytest.raises(UsageError) as error:
        make_layout([(f"f{number}", "r0", TYPES["x32"]) for number in range(255)])
    assert str(error.value) == "a record holds at most 255 words, and these fields need 256"
