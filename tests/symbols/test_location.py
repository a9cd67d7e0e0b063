"""What a user types for a place, and what is said when there is none."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import ArmprobeError, Refused, UsageError
from armprobe.symbols import Location, Symbol, SymbolTable, resolve

TABLE = SymbolTable(
    [
        Symbol("uart_init", 0x8000, 0x20),
        Symbol("uart_putc", 0x8020, 0x20),
        Symbol("uart_flags", 0x8060, 0x10, thumb=True),
        Symbol("thumb_only", 0x8070, 0x10, thumb=True),
        Symbol("a+b", 0x8080, 8),
        Symbol("helper", 0x8090, 8),
        Symbol("helper", 0x80A0, 8),
        Symbol("alias", 0x8020, 0x20),
        Symbol("counter", 0x9000, 4, function=False),
        Symbol("variable", 0x80B0, 4, function=False),
        Symbol("_ZN1n1fEi", 0x80C0, 8),
        Symbol("_ZN1n1fEc", 0x80D0, 8),
    ],
    marks=[(0x8000, "a"), (0x8038, "d"), (0x8040, "t"), (0x8080, "a")],
    ranges=[(0x8000, 0x8800)],
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uart_init", [Location(0x8000, "uart_init")]),
        (" uart_init ", [Location(0x8000, "uart_init")]),
        ("uart_init+0x10", [Location(0x8010, "uart_init+0x10")]),
        ("uart_init + 16", [Location(0x8010, "uart_init+0x10")]),
        ("uart_init+0", [Location(0x8000, "uart_init")]),
        ("0x8004", [Location(0x8004, "uart_init+0x4")]),
        ("0X8004", [Location(0x8004, "uart_init+0x4")]),
        ("32772", [Location(0x8004, "uart_init+0x4")]),
        ("0x87fc", [Location(0x87FC, "0x000087fc")]),
        ("a+b", [Location(0x8080, "a+b")]),
        ("a+b+4", [Location(0x8084, "a+b+0x4")]),
        ("uart_*", [Location(0x8000, "uart_init"), Location(0x8020, "uart_putc")]),
        ("uart_[ip]*", [Location(0x8000, "uart_init"), Location(0x8020, "uart_putc")]),
        ("alias", [Location(0x8020, "uart_putc")]),
        ("n::f(int)", [Location(0x80C0, "n::f(int)")]),
        ("n::f(char)+4", [Location(0x80D4, "n::f(char)+0x4")]),
        ("n::f*", [Location(0x80C0, "n::f(int)"), Location(0x80D0, "n::f(char)")]),
    ],
)
def test_places_are_found(text: str, expected: list[Location]) -> None:
    assert list(resolve(text, TABLE)) == expected


@pytest.mark.parametrize(
    ("text", "error", "message", "hint"),
    [
        ("uart_ini", UsageError, "no symbol is called 'uart_ini'", "did you mean uart_init?"),
        ("zzz", UsageError, "no symbol is called 'zzz'", ""),
        ("zzz+4", UsageError, "no symbol is called 'zzz'", ""),
        ("zzz_*", UsageError, "no function matches 'zzz_*'", ""),
        ("counte?", UsageError, "no function matches 'counte?'", ""),
        ("", UsageError, "no symbol is called ''", ""),
        (
            "uart_init+r0",
            UsageError,
            (
                "cannot read 'uart_init+r0': wanted SYMBOL, SYMBOL+OFFSET, FILE.c:LINE, 0xADDRESS or a pattern such as "
                "'uart_*'"
            ),
            "",
        ),
        (
            "+4",
            UsageError,
            "cannot read '+4': wanted SYMBOL, SYMBOL+OFFSET, FILE.c:LINE, 0xADDRESS or a pattern such as 'uart_*'",
            "",
        ),
        ("uart_init+0x20", UsageError, "uart_init is 0x20 bytes long: uart_init+0x20 is not in it", ""),
        (
            "helper",
            UsageError,
            "'helper' is ambiguous: helper at 0x00008090, helper at 0x000080a0",
            "give the address",
        ),
        (
            "n::f",
            UsageError,
            "'n::f' is ambiguous: n::f(int) at 0x000080c0, n::f(char) at 0x000080d0",
            "give the address",
        ),
        (
            "uart_init+2",
            Refused,
            "uart_init+2 (0x00008002) is between two instructions: A32 instructions are at multiples of 4",
            "",
        ),
        ("0x8003", Refused, "0x00008003 is between two instructions: A32 instructions are at multiples of 4", ""),
        (
            "uart_putc+0x18",
            Refused,
            "uart_putc+0x18 (0x00008038) is data, not code: a literal pool or a table begins at 0x00008038",
            "",
        ),
        ("0x8038", Refused, "0x00008038 is data, not code: a literal pool or a table begins at 0x00008038", ""),
        (
            "thumb_only",
            Refused,
            "thumb_only (0x00008070) is Thumb code: T32 is not supported yet",
            "build this function with -marm",
        ),
        (
            "thumb_*",
            Refused,
            "thumb_only (0x00008070) is Thumb code: T32 is not supported yet",
            "build this function with -marm",
        ),
        ("0x8071", Refused, "0x00008071 is Thumb code: T32 is not supported yet", "build this function with -marm"),
        ("0x8048", Refused, "0x00008048 is Thumb code: T32 is not supported yet", "build this function with -marm"),
        ("0x9800", Refused, "0x00009800 is outside of the program's code, which is at 0x00008000..0x00008800", ""),
        ("counter", Refused, "counter (0x00009000) is data, not code: counter is a variable", ""),
        ("variable", Refused, "variable (0x000080b0) is data, not code: variable is a variable", ""),
        ("0x80b0", Refused, "0x000080b0 is data, not code: variable is a variable", ""),
    ],
)
def test_what_is_no_place_is_refused(text: str, error: type[ArmprobeError], message: str, hint: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$") as caught:
        resolve(text, TABLE)
    assert caught.value.hint == hint


def test_many_candidates_are_cut_short() -> None:
    table = SymbolTable([Symbol("f", 0x1000 * n, 4) for n in range(1, 8)])
    message = (
        "'f' is ambiguous: f at 0x00001000, f at 0x00002000, f at 0x00003000, f at 0x00004000, f at 0x00005000 "
        "and 2 more"
    )
    with pytest.raises(UsageError, match=f"^{message}$"):
        resolve("f", table)


def test_program_without_symbols_says_so() -> None:
    with pytest.raises(UsageError, match=r"^no symbol is called 'main'$") as caught:
        resolve("main", SymbolTable([]))
    assert caught.value.hint == "the program has no symbols: give an address"


def test_name_of_code_and_of_data_means_the_code() -> None:
    table = SymbolTable([Symbol("f", 0x1000, 4, function=False), Symbol("f", 0x1000, 4)])
    assert resolve("f", table) == (Location(0x1000, "f"),)


def test_where_nothing_is_known_any_aligned_address_is_a_place() -> None:
    assert resolve("0xc0008000", SymbolTable([])) == (Location(0xC0008000, "0xc0008000"),)
