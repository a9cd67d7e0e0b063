"""Arguments of definitions: what they fetch, as which type, and how each mistake is shown."""

from __future__ import annotations

import pytest

from armprobe.codegen.filters import CompareText, Or
from armprobe.codegen.text_pattern import exactly, parse_glob
from armprobe.errors import UsageError
from armprobe.events.record import NAMED_TYPES, FieldType
from armprobe.events.source import Memory, Number, SymbolAddress, Text
from armprobe.probes.definition import Argument, parse_definition

SYMBOLS = {"jiffies": 0x9000, "ns::var": 0x9100}
VARIABLES = "there are $stack, $stack0, ..., $arg1, $arg2, ..., $comm, $common_pid, $common_tgid, $common_cpu"
FETCHES = "there are %r0, @ADDRESS, @SYMBOL, +4(%r0), $stack, $stack0, $arg1, \\5"
EXAMPLE = "an example: if (len > 64 && %r2:s16 < 0) || flags & 0x10"
TYPES = (
    "types are u8, u16, u32, s8, s16, s32, x8, x16, x32, char, u64, s64, x64, symbol, symstr, string, b4@0/32, and "
    "arrays such as u8[4]"
)


def symbol_address(name: str) -> int:
    if name not in SYMBOLS:
        raise UsageError(f"no symbol is called {name!r}", hint="did you mean jiffies?")
    return SYMBOLS[name]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("%r7", "r7"),
        ("%fp", "r11"),
        ("%cpsr", "cpsr"),
        ("@0x1000", Memory(Number(0x1000), 0)),
        ("@4096", Memory(Number(0x1000), 0)),
        ("@jiffies", Memory(Number(0x9000), 0)),
        ("@jiffies+8", Memory(Number(0x9008), 0)),
        ("@jiffies-0x10", Memory(Number(0x8FF0), 0)),
        ("@ns::var", Memory(Number(0x9100), 0)),
        ("+4(%r0)", Memory("r0", 4)),
        ("-4(%sp)", Memory("sp", -4)),
        ("+u0x10(%r0)", Memory("r0", 16)),
        ("-u1(%r0)", Memory("r0", -1)),
        ("+0(+8(-4(@jiffies)))", Memory(Memory(Memory(Memory(Number(0x9000), 0), -4), 8), 0)),
        ("$stack", "sp"),
        ("$stack0", Memory("sp", 0)),
        ("$stack3", Memory("sp", 12)),
        ("+0($stack2)", Memory(Memory("sp", 8), 0)),
        ("$arg1", "r0"),
        ("$arg4", "r3"),
        ("$arg5", Memory("sp", 0)),
        ("$arg7", Memory("sp", 8)),
        ("+4($arg2)", Memory("r1", 4)),
        ("\\5", Number(5)),
        ("\\-1", Number(-1)),
        ("\\0xffffffff", Number(0xFFFFFFFF)),
        ('\\"a:b=c"', Text("a:b=c")),
    ],
)
def test_what_is_fetched(text, source):
    for prefix in ("", "x="):
        (argument,) = parse_definition(f"p foo {prefix}{text}", symbol_address=symbol_address).arguments
        assert argument.source == source
        assert argument.type == (NAMED_TYPES["string"] if isinstance(source, Text) else NAMED_TYPES["x32"])
        assert argument.entry is ("$arg" in text)
        assert argument.name == ("x" if prefix else "arg1")


def test_without_symbols_a_variable_stays_a_name():
    (argument,) = parse_definition("p foo @jiffies-4:u8").arguments
    assert argument == Argument("arg1", Memory(SymbolAddress("jiffies", -4), 0), NAMED_TYPES["u8"])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((f"+0(%r0):{name}", kind) for name, kind in NAMED_TYPES.items()),
        ("%r0:u64", FieldType(8, "u")),
        ("%r0:symbol", FieldType(4, "symbol")),
        ("%r0:symstr", FieldType(4, "symstr")),
        ("+0(%r0):ustring", FieldType(4, "string")),
        ("@jiffies:string", FieldType(4, "string")),
        ('\\"a":string', FieldType(4, "string")),
        ("%r0:b4@2/8", FieldType(1, "u", (4, 2))),
        ("+0(%r0):b64@0/64", FieldType(8, "u", (64, 0))),
        ("+0(%r0):u8[64]", FieldType(1, "u", None, 64)),
        ("+0(%r0):char[1]", FieldType(1, "char", None, 1)),
        ("+0(%r0):string[3]", FieldType(4, "string", None, 3)),
        ("+0(%r0):b4@0/16[2]", FieldType(2, "u", (4, 0), 2)),
    ],
)
def test_types(text, kind):
    (argument,) = parse_definition(f"p foo a={text}", symbol_address=symbol_address).arguments
    assert argument.type == kind
    assert text.endswith(f":{kind.name}") or "ustring" in text


@pytest.mark.parametrize(
    ("text", "caret", "message", "hint"),
    [
        ("r0", 0, "there is no debug information here, which would know the name 'r0'", "the register is %r0"),
        (
            "len",
            0,
            "there is no debug information here, which would know the name 'len'",
            f"build the program with -g; {FETCHES}",
        ),
        ("(", 0, "an argument is %REGISTER, memory or a constant, not '('", FETCHES),
        ("%r16", 0, "there is no register %r16", "there are %r0 to %r12, %sp, %lr, %pc, %cpsr"),
        ("+0(%r99)", 3, "there is no register %r99", "there are %r0 to %r12, %sp, %lr, %pc, %cpsr"),
        ("%r0)", 3, "expected :TYPE or the end of the argument, not ')'", ""),
        ("@", 0, "@ needs an address or a symbol, not ''", FETCHES),
        ("@nosuch", 1, "no symbol is called 'nosuch'", "did you mean jiffies?"),
        ("+0(@nosuch)", 4, "no symbol is called 'nosuch'", "did you mean jiffies?"),
        ("@0x100000000", 0, "0x100000000 does not fit in 32 bits", ""),
        ("+(%r0)", 0, "memory is +OFFSET(ADDRESS) or -OFFSET(ADDRESS), not '+(%r0)'", FETCHES),
        ("+8%r0", 0, "memory is +OFFSET(ADDRESS) or -OFFSET(ADDRESS), not '+8%r0'", FETCHES),
        ("+0(%r0", 2, "this parenthesis is not closed", ""),
        ("+0(+4(%r0)", 2, "this parenthesis is not closed", ""),
        ("+0(r0)", 3, "there is no debug information here, which would know the name 'r0'", "the register is %r0"),
        ("+0((", 3, "an address is made of %REGISTER, memory or a constant, not '('", FETCHES),
        ("+0()", 3, "an address is made of %REGISTER, memory or a constant, not ')'", FETCHES),
        ('+0(\\"a")', 3, "a constant string is no address", ""),
        ("+0(" * 13 + "%r0" + ")" * 13, 36, "memory is read through at most 12 pointers", ""),
        ("\\x", 0, "a constant is \\NUMBER or \\\"TEXT\", not '\\\\x'", FETCHES),
        ('\\"a', 0, 'a constant is \\NUMBER or \\"TEXT", not \'\\\\"a\'', FETCHES),
        ("$stack2048", 0, "$stack2048 is too far: $stack0 to $stack2047 are the words that can be read", ""),
        ("$arg0", 0, "there is no argument $arg0: $arg1 is the first word", ""),
        ("$foo", 0, "there is no variable $foo", VARIABLES),
        (
            "$comm",
            0,
            "comm is a field of tasks, and there are none here: no target is known here",
            "a live kernel has them: --kernel, attach_kernel()",
        ),
        (
            "$arg*",
            0,
            "$arg* stands for several arguments",
            "write it alone, without a name or a type",
        ),
        ("%r0:", 4, "there is no type ''", TYPES),
        ("%r0:u7", 4, "there is no type 'u7'", TYPES),
        ("%r0:u8:u8", 4, "there is no type 'u8:u8'", TYPES),
        ("%r0:b9@0/8", 4, "9 bits from bit 0 on are not within 8 bits", ""),
        ("%r0:b4@6/8", 4, "4 bits from bit 6 on are not within 8 bits", ""),
        ("%r0:b0@0/8", 4, "0 bits from bit 0 on are not within 8 bits", ""),
        ("%r0:b1@0/12", 4, "a bit-field lies in 8, 16, 32 or 64 bits, not in 12", ""),
        ("+0(%r0):u8[", 10, "an array is TYPE[NUMBER], not 'u8['", ""),
        ("+0(%r0):u8[4]x", 10, "an array is TYPE[NUMBER], not 'u8[4]x'", ""),
        ("+0(%r0):u8[0]", 10, "an array has 1 to 64 elements, not 0", ""),
        ("+0(%r0):u8[65]", 10, "an array has 1 to 64 elements, not 65", ""),
        ("%r0:u8[4]", 4, "an array is in memory", "write +0(%r0):u8[4]"),
        ("$arg5:u8[4]", 6, "an array is in memory", "write +0($arg5):u8[4]"),
        ("%r0:string", 4, "a string is in memory", "write +0(%r0):string"),
        ("$stack1:string", 8, "a string is in memory", "write +0($stack1):string"),
        ('\\"a":u8', 5, "a constant string has the type string, not u8", ""),
        ("$stack1:u64", 8, "$stack1 is a word, and u64 has 64 bits", "write +4($stack):u64 for two words"),
        ("$arg6:b1@0/64", 6, "$arg6 is a word, and b1@0/64 has 64 bits", "write +4($stack):b1@0/64 for two words"),
        ("%r0:%pd", 4, "the type '%pd' is a file name in the kernel's structures, which no other program has", ""),
    ],
)
def test_a_mistake_is_shown_with_a_caret_under_the_spot(text, caret, message, hint):
    line = f"p foo a={text}"
    with pytest.raises(UsageError) as caught:
        parse_definition(line, symbol_address=symbol_address)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert caught.value.evidence == line + "\n" + " " * (8 + caret) + "^"


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("p foo s=+0(%r0):string if s == 1", "a field of type string can't be compared yet"),
        ("p foo s=%r0:symstr if s == 1", "a field of type symstr can't be compared yet"),
        ("p foo s=+0(%r0):u8[2] if s == 1", "a field of type u8[2] can't be compared yet"),
    ],
)
def test_what_a_filter_cannot_compare_is_refused(definition, message):
    with pytest.raises(UsageError) as caught:
        parse_definition(definition)
    assert (str(caught.value), caught.value.hint) == (message, "numbers and strings can: +0(%r0):u8 is a number")


def test_strings_are_compared_with_strings():
    definition = parse_definition('p foo s=+4(%r0):string if s == "a b" || s != "" || s ~ "eth[0-3]*"')
    source = Memory("r0", 4)
    whole = Or(CompareText(source, exactly(b"a b"), equal=True), CompareText(source, exactly(b""), equal=False))
    assert definition.filter == Or(whole, CompareText(source, parse_glob(b"eth[0-3]*"), equal=True))


@pytest.mark.parametrize(
    ("condition", "caret", "message", "hint"),
    [
        ('s ~ "a[b"', 4, "a set in a pattern is not closed", "[a-z] is one; \\[ is the character"),
        ("s ~ n", 4, "~ compares a string with a pattern", 'for example name ~ "eth*"'),
        ('s < "a"', 2, "strings are compared with ==, != and ~, not <", ""),
        ('n == "a"', 5, "only a field of type string in memory is compared with a string", ""),
        ('%r0 == "a"', 7, "only a field of type string in memory is compared with a string", ""),
        (f's == "{"x" * 65}"', 5, "a string in a filter has at most 64 bytes, not 65", ""),
        ('"a" == s', 0, "expected a field, a %register or a number, not '\"a\"'", EXAMPLE),
        ('s == "a', 5, "a filter has no '\"'", EXAMPLE),
    ],
)
def test_what_strings_cannot_be_compared_with_is_shown(condition, caret, message, hint):
    line = f"p foo s=+4(%r0):string n=%r1 if {condition}"
    with pytest.raises(UsageError) as caught:
        parse_definition(line)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert caught.value.evidence == line + "\n" + " " * (line.index(" if ") + 4 + caret) + "^"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("a == 0x10000000000000000", "18446744073709551616 does not fit in 64 bits"),
        ("a < -1", "-1 is no u64: that is 0 to 18446744073709551615"),
        ("b == 9223372036854775808 && b == a", "s64 and u64 do not compare: 64 bits cannot hold both"),
        ("c == 4", "4 is no b2@1/8: that is 0 to 3"),
        ("d == 0x100000000", "4294967296 does not fit in 32 bits"),
    ],
)
def test_a_comparison_that_makes_no_sense_is_refused(condition, message):
    fields = "a=+0(%r0):u64 b=+8(%r0):s64 c=%r1:b2@1/8 d=%r2"
    with pytest.raises(UsageError) as caught:
        parse_definition(f"p foo {fields} if {condition}")
    assert str(caught.value) == message
