"""Names and source lines of a program that has debug information, and of programs that have none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from tests.symbols.dwarf.programs import DEMO, HERE, LEVELS, built, image

from armprobe import UsageError
from armprobe.symbols.debuginfo import DebugInfo
from armprobe.symbols.location import resolve
from armprobe.symbols.table import SymbolTable

SOURCE = (HERE / "variables.c").read_text().splitlines()


def line_of(text: str) -> int:
    """The number of the first line of variables.c that has the text."""
    return next(number for number, line in enumerate(SOURCE, 1) if text in line)


def table(level: str = "-O2", *options: str) -> SymbolTable:
    return SymbolTable.from_image(image(level, *options))


def debug(level: str = "-O2", *options: str) -> DebugInfo:
    (found,) = image(level, *options).debug
    return found


def address(name: str, level: str = "-O2") -> int:
    return table(level).named(name)[0].address


@pytest.mark.parametrize(
    "options", [("-gdwarf-3",), ("-gdwarf-4",), ("-gdwarf-5",), ("-gdwarf-4", "-fdebug-types-section")]
)
def test_a_function_is_known_with_its_types(options):
    info = debug("-O1", *options)
    places = table("-O1", *options)
    signatures = {
        name: info.scope(places.named(name)[0].address).signature
        for name in ("narrow", "by_value", "follow", "variadic", "made")
    }
    assert signatures == {
        "narrow": "uint32_t narrow(uint8_t a, int8_t b, uint16_t c, _Bool d)",
        "by_value": "int32_t by_value(struct pair p, struct small s, struct triple t, uint32_t last)",
        "follow": "uint32_t follow(struct message *m, enum color wanted, enum tiny tiny)",
        "variadic": "uint32_t variadic(uint32_t count)",
        "made": "struct triple made(struct pair p, int32_t z)",
    }


def test_the_functions_inlined_at_an_instruction_are_known():
    (first, second) = resolve("inlined", table())
    scope = debug().scope(first.address)
    assert (scope.function, scope.inlined) == ("outer", ("inlined",))
    assert {"pointer", "factor", "scaled", "m", "result"} <= set(scope.names)
    assert debug().scope(second.address).inlined == ("inlined",)


@pytest.mark.parametrize("level", LEVELS)
def test_each_instruction_of_a_function_comes_from_a_line_of_it(level):
    places = table(level)
    (symbol,) = places.named("recursive")
    first, last = line_of("uint32_t recursive("), line_of("uint32_t stacked(")
    for at in range(symbol.address, symbol.address + symbol.size, 4):
        line = debug(level).line(at)
        assert line.path.endswith("tests/symbols/dwarf/variables.c")
        assert first <= line.line < last
    assert str(debug("-O0").line(address("recursive", "-O0"))) == f"variables.c:{first + 1}"  # of the brace


def test_a_source_line_is_a_place():
    number = line_of("if (!depth)")
    for text in (
        f"variables.c:{number}",
        f"dwarf/variables.c:{number}",
        f"recursive:{number - line_of('uint32_t recursive(')}",
    ):
        (place,) = resolve(text, table("-O0"))
        assert place.name.startswith("recursive+0x")
        assert debug("-O0").line(place.address).line == number
        assert debug("-O0").line(place.address - 4).line != number


def test_a_line_of_an_inlined_function_has_a_place_for_each_copy():
    places = resolve(f"variables.c:{line_of('sink = scaled')}", table())
    assert len(places) == 2
    assert all(place.name.startswith("outer+0x") for place in places)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("nowhere.c:3", "no code comes from a file 'nowhere.c'", ""),
        ("variables.c:1", "there is no code for variables.c:1", "there is for line 49, 50, 51"),
        ("recursive:900", "there is no code for recursive:900", "there is for line 4, 5, 6"),
        ("nosuch:3", "no symbol is called 'nosuch'", ""),
        ("memset:900", "there is no code for memset:900", "there is for line 4, 5, 6"),
    ],
)  # fmt: skip
def test_a_line_without_code_is_refused(text, message, hint):
    with pytest.raises(UsageError) as caught:
        resolve(text, table("-O0"))
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_a_program_that_moved_is_known_where_it_is():
    moved = table("-O0").rebased(0x10000)
    (symbol,) = moved.named("follow")
    scope = moved.scope(symbol.address)
    assert scope.function == "follow"
    assert moved.source_line(symbol.address) == debug("-O0").line(symbol.address - 0x10000)
    place = scope.find("messages").place
    assert place.where.address.value == moved.named("messages")[0].address
    assert moved.scope(symbol.address - 0x10000) is None


def test_a_program_without_debug_information_knows_nothing(tmp_path):
    stripped = tmp_path / "stripped.elf"
    subprocess.run(["arm-none-eabi-strip", "--strip-debug", "-o", stripped, built("-O2")], check=True)
    info = replace(debug(), data=stripped.read_bytes())
    assert not info.present
    assert info.scope(address("follow")) is None
    assert info.line(address("follow")) is None
    assert info.line_addresses("variables.c", 3) is None
    places = SymbolTable.from_image(replace(image("-O2"), debug=(info,)))
    for text, message in (
        ("variables.c:3", "the program has no debug information, which would know the line variables.c:3"),
        ("follow:3", "there is no debug information about follow, which would know its lines"),
    ):
        with pytest.raises(UsageError, match=f"^{message}$"):
            resolve(text, places)


def test_damaged_debug_information_is_an_error_and_no_traceback():
    data = bytearray(built("-O2").read_bytes())
    info = debug()
    start = info._file.get_section_by_name(".debug_info")["sh_offset"]
    for offset in range(11, 4000, 7):
        data[start + offset] ^= 0x5A
    with pytest.raises(UsageError, match=r"the debug information of .* is damaged, or of a kind that is not read"):
        replace(info, data=bytes(data)).scope(address("follow"))


def test_nothing_is_parsed_before_it_is_asked_for():
    code = (
        "import sys; from armprobe.symbols.image import Image; from armprobe.symbols.table import SymbolTable\n"
        f"table = SymbolTable.from_image(Image.load({str(DEMO / 'demo.elf')!r}))\n"
        "assert not [name for name in sys.modules if name.startswith('armprobe.symbols.dwarf')]\n"
        "assert table.scope(table.named('malloc')[0].address).signature == 'void *malloc(size_t size)'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
