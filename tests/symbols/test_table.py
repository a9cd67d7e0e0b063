"""Addresses to names and back."""

from __future__ import annotations

import sys

import pytest

from armprobe.symbols import Image, Segment, Symbol, SymbolTable, demangled

TABLE = SymbolTable(
    [
        Symbol("parse", 0x8000, 0x20),
        Symbol("emit", 0x8020, 0x10),
        Symbol("label", 0x8040),
        Symbol("buffer", 0x9000, 0x100, function=False),
        Symbol("_ZN3net6Socket4sendEPKcj", 0x8100, 0x40),
        Symbol("_ZN3net6Socket4sendEi", 0x8140, 0x40),
    ],
    marks=[(0x8000, "a"), (0x8018, "d"), (0x8020, "a")],
    ranges=[(0x8000, 0x9000), (0xA000, 0xB000)],
)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (0x8000, "parse"),
        (0x8004, "parse+0x4"),
        (0x801C, "parse+0x1c"),
        (0x8020, "emit"),
        (0x8030, "0x00008030"),  # behind emit, before label
        (0x8044, "label+0x4"),  # no size: up to the next symbol
        (0x7FFC, "0x00007ffc"),
        (0x9010, "buffer+0x10"),
    ],
)
def test_addresses_are_described_by_symbol_and_offset(address: int, text: str) -> None:
    assert TABLE.describe(address) == text


def test_of_several_names_for_one_address_the_plainest_is_shown() -> None:
    names = [Symbol("__memcpy", 0, 8), Symbol("memcpy", 0, 8), Symbol("label", 0), Symbol("text", 0, 8, function=False)]
    table = SymbolTable(names)
    assert table.describe(4) == "memcpy+0x4"


def test_empty_table_describes_bare_addresses() -> None:
    assert SymbolTable([]).describe(0x1234) == "0x00001234"
    assert SymbolTable([]).kind_at(0x1234) is None


def test_names_are_found_as_written_demangled_and_without_parameters() -> None:
    assert [symbol.address for symbol in TABLE.named("parse")] == [0x8000]
    assert [symbol.address for symbol in TABLE.named("_ZN3net6Socket4sendEi")] == [0x8140]
    assert [symbol.address for symbol in TABLE.named("net::Socket::send(int)")] == [0x8140]
    assert [symbol.address for symbol in TABLE.named("net::Socket::send")] == [0x8100, 0x8140]
    assert TABLE.named("nothing") == []


def test_demangled_names_are_shown() -> None:
    assert TABLE.describe(0x8104) == "net::Socket::send(char const*, unsigned int)+0x4"


def test_parameters_are_cut_at_the_parenthesis_that_opens_them() -> None:
    table = SymbolTable([Symbol("_ZNK3netclEPFicE", 0x8000, 4)])
    assert demangled("_ZNK3netclEPFicE") == "net::operator()(int (*)(char)) const"
    assert [symbol.address for symbol in table.named("net::operator()")] == [0x8000]


def test_without_pycxxfilt_names_stay_mangled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycxxfilt", None)
    assert demangled("_ZN3net6Socket4sendEi") == "_ZN3net6Socket4sendEi"
    assert SymbolTable([Symbol("_Z1fv", 4)]).describe(4) == "_Z1fv"


def test_patterns_match_functions_by_plain_and_demangled_name() -> None:
    assert [symbol.name for symbol in TABLE.matching("*e*")] == [
        "parse",
        "emit",
        "label",
        "_ZN3net6Socket4sendEPKcj",
        "_ZN3net6Socket4sendEi",
    ]
    assert [symbol.address for symbol in TABLE.matching("net::*")] == [0x8100, 0x8140]
    assert TABLE.matching("buf*") == []
    assert TABLE.matching("PARSE") == []


def test_similar_names_are_suggested() -> None:
    assert TABLE.similar("pars") == ["parse"]
    assert TABLE.similar("zzz") == []


def test_marks_say_what_bytes_are() -> None:
    assert TABLE.kind_at(0x8004) == ("a", 0x8000)
    assert TABLE.kind_at(0x801C) == ("d", 0x8018)
    assert TABLE.kind_at(0x7000) is None


def test_marks_do_not_reach_into_another_part_of_the_program() -> None:
    assert TABLE.kind_at(0x8FFC) == ("a", 0x8020)
    assert TABLE.kind_at(0xA000) is None


def test_rebased_table_names_run_time_addresses() -> None:
    moved = TABLE.rebased(0x40000000)
    assert moved.describe(0x40008004) == "parse+0x4"
    assert moved.describe(0x8004) == "0x00008004"
    assert moved.kind_at(0x4000801C) == ("d", 0x40008018)
    assert moved.ranges == [(0x40008000, 0x40009000), (0x4000A000, 0x4000B000)]
    assert moved.rebased(-0x40000000).symbols == TABLE.symbols


def test_table_of_an_image_has_its_executable_parts() -> None:
    parts = (Segment(0x9000, b"", 0x100, executable=False), Segment(0x8000, b"1234", 0x80))
    table = SymbolTable.from_image(Image("p", 0x8000, parts, (Symbol("main", 0x8000, 4),), ((0x8000, "a"),)))
    assert (table.ranges, table.marks) == ([(0x8000, 0x8080)], [(0x8000, "a")])
    assert table.describe(0x8000) == "main"
