"""Probe definitions: what they mean, and how each mistake is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.codegen.filter_model import holds

from armprobe.codegen.filters import And, Compare, Constant, Not, Or, Register
from armprobe.errors import UsageError
from armprobe.events.record import TYPES, Layout, make_header
from armprobe.probes.definition import (
    Argument,
    Kind,
    ProbeDefinition,
    default_event,
    format_record,
    parse_definition,
)

EXAMPLE = "an example: if (len > 64 && %r2:s16 < 0) || flags & 0x10"
REGISTERS = "there are %r0 to %r12, %sp, %lr, %pc, %cpsr"
FETCHES = "there are %r0, @ADDRESS, @SYMBOL, +4(%r0), $stack, $stack0, $arg1, \\5"
TYPES_HINT = (
    "types are u8, u16, u32, s8, s16, s32, x8, x16, x32, char, u64, s64, x64, symbol, symstr, string, b4@0/32, and "
    "arrays such as u8[4]"
)
TYPE_HINT = "types are u8, u16, u32, s8, s16, s32, x8, x16, x32, char"


def test_a_full_definition():
    assert parse_definition("p:net/packet parse_packet+8 len=%r1 first=%r0:u8 %fp if len > 64") == ProbeDefinition(
        Kind.RECORD,
        "net",
        "packet",
        "parse_packet+8",
        (Argument("len", "r1"), Argument("first", "r0", TYPES["u8"]), Argument("arg3", "r11")),
        Compare(">", Register("r1", TYPES["x32"]), Constant(64)),
    )


def test_a_location_alone_counts():
    assert parse_definition("malloc") == ProbeDefinition(Kind.COUNT, "kprobes", "p_malloc_0", "malloc")
    assert parse_definition(" malloc+4 if %r0 > 9 ") == ProbeDefinition(
        Kind.COUNT, "kprobes", "p_malloc_4", "malloc+4", (), Compare(">", Register("r0"), Constant(9))
    )


def test_a_location_alone_may_be_a_name_with_spaces():
    assert parse_definition("Parser::feed(char const*, int)").location == "Parser::feed(char const*, int)"


@pytest.mark.parametrize(
    ("command", "group", "event"),
    [
        ("p", "kprobes", "p_foo_0"),
        ("p:bar", "kprobes", "bar"),
        ("p:grp/bar", "grp", "bar"),
        ("p:grp.bar", "grp", "bar"),
        ("p:grp/", "grp", "p_foo_0"),
    ],
)
def test_groups_and_events(command, group, event):
    definition = parse_definition(f"{command} foo")
    assert (definition.kind, definition.group, definition.event) == (Kind.RECORD, group, event)


@pytest.mark.parametrize(
    ("location", "event"),
    [
        ("foo", "p_foo_0"),
        ("foo+0x10", "p_foo_16"),
        ("foo.part.0+4", "p_foo_part_0_4"),
        ("mod:foo", "p_mod_foo_0"),
        ("0x8000", "p_0x8000"),
        ("uart_*", "p_uart___0"),
        ("operator+", "p_operator__0"),
        ("x" * 100, "p_" + "x" * 62),
    ],
)
def test_events_without_a_name_get_the_kernels(location, event):
    assert default_event(location) == event


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("%r0 == 1 || %r1 == 2 && %r2 == 3", "or(r0==1, and(r1==2, r2==3))"),
        ("(%r0 == 1 || %r1 == 2) && %r2 == 3", "and(or(r0==1, r1==2), r2==3)"),
        ("!(%r0 == 1) && !!(%r1 == 2)", "and(not(r0==1), not(not(r1==2)))"),
        ("%r0==1&&%r1&2&&%lr!=-3", "and(and(r0==1, r1&2), lr!=-3)"),
        ("0x10 <= %sp", "16<=sp"),
        ("%r1:s8 >= -0x80", "r1>=-128"),
    ],
)
def test_filters_bind_as_in_c(text, meaning):
    def show(condition):
        match condition:
            case Not(operand):
                return f"not({show(operand)})"
            case And(left, right):
                return f"and({show(left)}, {show(right)})"
            case Or(left, right):
                return f"or({show(left)}, {show(right)})"
            case Compare(op, left, right):
                return op.join(side.name if isinstance(side, Register) else str(side.value) for side in (left, right))

    assert show(parse_definition(f"p foo if {text}").filter) == meaning


def test_a_field_in_a_filter_has_the_type_of_its_definition():
    condition = parse_definition("p foo a=%r0:s8 if a < -2").filter
    assert holds(condition, {"r0": 0x1234_56FD}.__getitem__)
    assert not holds(condition, {"r0": 0x1234_56FE}.__getitem__)


@pytest.mark.parametrize(
    ("text", "caret", "message", "hint"),
    [
        ("", 0, "a definition is empty", "write a location, or p LOCATION %REGISTER ..."),
        ("p", 1, "the location is missing", "write p[:EVENT] SYMBOL+OFFSET ..."),
        ("p if %r0 == 1", 1, "the location is missing", "write p[:EVENT] SYMBOL+OFFSET ..."),
        ("r:x", 3, "the location is missing", "write r[:EVENT] FUNCTION ..."),
        ("r: foo", 2, "the name of the event is missing", "write r:EVENT, or r alone"),
        ("r0 foo", 1, "a return probe follows 1 to 4096 calls at once, not 0", ""),
        ("r:x foo $arg5", 8, "$arg5 is on the stack, which is another at the return", "write p in place of r"),
        (
            "p:x foo $retval",
            8,
            "$retval is what a function returns, and this is no return probe",
            "write r in place of p",
        ),
        ("-:x", 0, "this removes an event, and a definition is wanted", ""),
        ("p: foo", 2, "the name of the event is missing", "write p:EVENT, or p alone"),
        ("p:/x foo", 2, "the name of the group is missing", "write p:GROUP/EVENT, or p:EVENT"),
        ("p:a/b/c foo", 2, "an event is named GROUP/EVENT, not 'a/b/c'", ""),
        ("p:a/b-c foo", 4, "the event name 'b-c' is not made of letters, digits and _", ""),
        ("p:9/b foo", 2, "the group name '9' is not made of letters, digits and _", ""),
        ("p:" + "x" * 65 + " foo", 2, "the event name has 65 characters, and 64 is the most", ""),
        ("p foo r0", 6, "there is no debug information here, which would know the name 'r0'", "the register is %r0"),
        (
            "p foo $arg*",
            6,
            "there is no debug information here, which $arg* needs",
            "build the program with -g, or write $arg1 $arg2 ...",
        ),
        ("r foo $arg*", 6, "$arg* are gone when the function has returned", "write p in place of r"),
        ("p foo a=", 8, "an argument is %REGISTER, memory or a constant, not ''", FETCHES),
        ("p foo 1a=%r1", 6, "the argument name '1a' is not made of letters, digits and _", ""),
        ("p foo " + "a" * 33 + "=%r1", 6, "the argument name has 33 characters, and 32 is the most", ""),
        ("p foo a=%r0:" + "u" * 60, 6, "an argument has at most 63 characters, not 66", ""),
        ("p foo" + " %r0" * 129, 6 + 4 * 128, "an event has at most 128 arguments", ""),
        ("p foo a=%r0 a=%r1", 12, "the argument name 'a' is used twice", ""),
        ("p foo common_x=%r0", 6, "the argument name 'common_x' is reserved", "every event has a field of that name"),
        (
            "p foo __probe_ip=%r0",
            6,
            "the argument name '__probe_ip' is reserved",
            "every event has a field of that name",
        ),
        ("p foo a=%r99", 8, "there is no register %r99", REGISTERS),
        ("p foo a=%r1:int", 12, "there is no type 'int'", TYPES_HINT),
        (
            "malloc len=%r0",
            7,
            "a location alone counts hits and takes no arguments",
            "to record them, write p malloc len=%r0",
        ),
        ("p foo if", 8, "expected a field, a %register or a number, not 'the end'", EXAMPLE),
        ("p foo a=%r0 if b", 15, "there is no field 'b'", "fields are a; registers are %r0, ..."),
        ("p foo if r0 == 1", 9, "there is no field 'r0'", "registers are %r0, ..."),
        ("p foo if %r16 == 1", 9, "there is no register %r16", REGISTERS),
        ("p foo if %r1:u9 == 1", 9, "there is no type 'u9'", TYPE_HINT),
        ("p foo if %r0", 12, "expected a comparison, not 'the end'", "== != < <= > >= & ~"),
        ("p foo if %r0 && %r1", 13, "expected a comparison, not '&&'", "== != < <= > >= & ~"),
        ("p foo if %r0 = 1", 13, "a filter has no '='", EXAMPLE),
        ("p foo if %r0 == 12ab", 16, "a filter has no '1'", EXAMPLE),
        ("p foo if %r0 == 1 %r1", 18, "expected && or ||, not 'r1'", ""),
        ("p foo if (%r0 == 1", 9, "this parenthesis is not closed", ""),
        ("p foo if %r0 == 1)", 17, "this parenthesis closes nothing", ""),
        ("p foo if !%r0 == 1", 10, "! stands before parentheses", "write !(a == 1)"),
        ("p foo if 1 == 1", 9, "a comparison needs a field or a register", ""),
        ("p foo if %r0 < -1", 9, "-1 is no u32: that is 0 to 4294967295", "write :s32 to compare with a sign"),
        ("p foo a=%r0:u8 if a == 300", 18, "300 is no u8: that is 0 to 255", ""),
        ("p foo if %r0:s8 == 128", 9, "128 is no s8: that is -128 to 127", ""),
        ("p foo if %r0 == 0x100000000", 9, "4294967296 does not fit in 32 bits", ""),
        (
            "p foo if %r0:s32 < %r1",
            9,
            "s32 and u32 do not compare: 32 bits cannot hold both",
            "give both sides a signed or an unsigned type",
        ),
        ("p foo if " + "(" * 40, 9 + 33, "parentheses nest at most 32 deep", ""),
        ("p foo if " + "!" * 40, 9 + 33, "parentheses nest at most 32 deep", ""),
        (
            "p foo if " + " && ".join(["%r0 == 1"] * 65),
            9 + 64 * 12,
            "a filter has at most 64 comparisons",
            "",
        ),
    ],
)
def test_a_mistake_is_shown_with_a_caret_under_the_spot(text, caret, message, hint):
    with pytest.raises(UsageError) as caught:
        parse_definition(text)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert caught.value.evidence == text + "\n" + " " * caret + "^"


def test_a_definition_without_end_is_refused():
    with pytest.raises(UsageError, match=r"^a definition has at most 4096 characters, not 5000$"):
        parse_definition("x" * 5000)


def test_a_caret_stands_right_behind_tabs():
    with pytest.raises(UsageError) as caught:
        parse_definition("p\tfoo\t%r77")
    assert caught.value.evidence == "p foo %r77\n      ^"


@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(
            st.sampled_from(
                [
                    "p",
                    "p:g/e",
                    "foo",
                    "a=%r0",
                    "%r1:s8",
                    "if",
                    "a",
                    "%r1",
                    "==",
                    "<",
                    "5",
                    "-1",
                    "&&",
                    "||",
                    "!",
                    "(",
                    ")",
                ]
            ),
            max_size=12,
        ).map(" ".join),
    )
)
def test_any_text_is_a_definition_or_an_error_with_a_caret_inside(text):
    try:
        definition = parse_definition(text)
    except UsageError as error:
        line, _, caret = error.evidence.rpartition("\n")
        assert len(line) == len(text)
        assert len(caret) <= len(text) + 1
    else:
        assert definition.location in text
        assert parse_definition(text) == definition


def test_a_record_is_shown_as_in_the_kernels_trace():
    definition = parse_definition("p:packet parse_packet len=%r1:u16 first=%r0:char d=%r2:s8 %lr")
    record = make_header(3, definition.layout().words).to_bytes(4, "little") + bytes.fromhex("0102 41 ff 78563412")
    assert (
        format_record(definition, definition.layout(), record, place="parse_packet+0x0/0x40")
        == "packet: (parse_packet+0x0/0x40) len=513 first='A' d=-1 arg4=0x12345678"
    )
    assert format_record(parse_definition("p foo"), Layout((), 1), bytes(4), place="0x8000") == "p_foo_0: (0x8000)"


def test_a_return_probe_has_another_spelling():
    other = parse_definition("p:own/back malloc%return result=$retval if result == 0")
    assert other == parse_definition("r:own/back malloc result=$retval if result == 0")


def test_a_filter_knows_the_address_of_the_probe_by_the_kernels_name():
    definition = parse_definition("p malloc if __probe_ip == 0x8000")
    assert definition.filter == Compare("==", Register("pc", TYPES["x32"]), Constant(0x8000))
