"""Debug information in a file of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.symbols.dwarf.programs import built

from armprobe.symbols.image import Image
from armprobe.symbols.table import SymbolTable


@pytest.fixture
def program(tmp_path) -> Path:
    """A program without debug information; `full.elf` beside it has it."""
    full, stripped = tmp_path / "full.elf", tmp_path / "bin" / "program"
    shutil.copy(built("-O2"), full)
    stripped.parent.mkdir()
    subprocess.run(["arm-none-eabi-objcopy", "--strip-debug", full, stripped], check=True)
    return stripped


def knows_arguments(program: Path) -> bool:
    table = SymbolTable.from_image(Image.load(program))
    scope = table.scope(table.named("follow")[0].address)
    return scope is not None and [variable.name for variable in scope.parameters] == ["m", "wanted", "tiny"]


def separate(program: Path, place: Path) -> None:
    """Put the debug information into a file of its own, and a link to it into the program."""
    place.parent.mkdir(parents=True, exist_ok=True)
    full = program.parents[1] / "full.elf"
    subprocess.run(["arm-none-eabi-objcopy", "--only-keep-debug", full, place], check=True)
    subprocess.run(["arm-none-eabi-objcopy", f"--add-gnu-debuglink={place}", program], check=True)


@pytest.mark.parametrize("where", ["bin/program.debug", "bin/.debug/program.debug"])
def test_a_debug_link_is_followed(program, where):
    separate(program, program.parents[1] / where)
    assert knows_arguments(program)


def test_a_debug_file_of_another_build_is_not_taken(program):
    place = program.with_name("program.debug")
    separate(program, place)
    place.write_bytes(place.read_bytes() + b"\0")
    assert not knows_arguments(program)


def test_a_debug_file_is_found_by_build_id_in_the_tree_of_the_program(program):
    full = program.parents[1] / "full.elf"
    identity = bytes(range(20))
    note = program.with_name("note")
    note.write_bytes(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0" + identity)
    options = [
        "--add-section",
        f".note.gnu.build-id={note}",
        "--set-section-flags",
        ".note.gnu.build-id=noload,readonly",
    ]
    for path in (program, full):
        subprocess.run(["arm-none-eabi-objcopy", *options, path], check=True, capture_output=True)
    place = program.parents[1] / "usr/lib/debug/.build-id" / identity.hex()[:2] / f"{identity.hex()[2:]}.debug"
    place.parent.mkdir(parents=True)
    subprocess.run(["arm-none-eabi-objcopy", "--only-keep-debug", full, place], check=True)
    assert knows_arguments(program)


def test_without_a_debug_file_nothing_is_known(program):
    assert not knows_arguments(program)
