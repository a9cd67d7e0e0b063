"""Variables at every instruction, against what GDB reads from the same debug information by its own code."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from tests.symbols.dwarf.programs import LEVELS, built, image

from armprobe.symbols.dwarf.entry import follow_entry
from armprobe.symbols.places import ConstantWord, Load, Operation, Pair, RegisterWord, Value
from armprobe.symbols.table import SymbolTable
from armprobe.symbols.types import Enumeration, Integer, Pointer

needs_gdb = pytest.mark.skipif(
    not (shutil.which("gdb-multiarch") and shutil.which("qemu-arm")), reason="needs gdb-multiarch and qemu-arm"
)
FUNCTIONS = ("narrow", "wide", "by_value", "addressed", "follow", "outer", "recursive", "stacked", "variadic", "made")
#: functions with arguments that have a place in memory at every level of optimization
IN_MEMORY = ("by_value", "addressed", "variadic", "made")
STEPS = 800
_CASTS = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long long"}


def c_expression(value: Value) -> str:
    """A place as an expression of GDB."""
    match value:
        case RegisterWord(name):
            return f"(unsigned int)${name}"
        case ConstantWord(number):
            return f"{number}u"
        case Load(address, size):
            return f"*({_CASTS[size]} *)({c_expression(address)})"
        case Operation(">>s", left, right):
            return f"(unsigned int)((int)({c_expression(left)}) >> ({c_expression(right)}))"
        case Operation(op, left, right):
            return f"(unsigned int)(({c_expression(left)}) {op} ({c_expression(right)}))"
        case Pair(low, high):
            return f"(((unsigned long long)({c_expression(high)})) << 32 | ({c_expression(low)}))"
    raise AssertionError(value)


def wanted(level: str) -> dict[int, list[tuple[str, str, int]]]:
    """(name, expression, bytes) of all numbers with a value, by address.

    Not of first instructions, where GDB reads arguments in memory from places that they have not come to yet.
    """
    program = image(level)
    table = SymbolTable.from_image(program)
    found: dict[int, list[tuple[str, str, int]]] = {}
    for function in FUNCTIONS:
        (symbol,) = table.named(function)
        code = next(part.data[symbol.address - part.address :] for part in program.segments
                    if part.address <= symbol.address < part.end)  # fmt: skip
        straight = follow_entry(symbol.address, code[: symbol.size])
        for place in range(symbol.address, symbol.address + symbol.size, 4):
            scope = table.scope(place)
            first = straight.at(place) is not None and (level == "-O0" or function in IN_MEMORY)
            if scope is None or first or place == symbol.address:
                continue
            for name in scope.names:
                variable = scope.find(name)
                if isinstance(variable.type, Integer | Enumeration | Pointer) and not variable.place.reason:
                    size = variable.type.size
                    expression = c_expression(variable.place.value(size))
                    found.setdefault(place, []).append((name, expression, size))
    return found


@needs_gdb
@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_values_are_those_that_gdb_reads(level, tmp_path):
    places = tmp_path / "wanted.json"
    places.write_text(json.dumps(wanted(level)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = subprocess.Popen(["qemu-arm", "-g", str(port), built(level), "3"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    try:
        done = subprocess.run(
            ["gdb-multiarch", "-nx", "-batch", "-iex", "set debuginfod enabled off",
             "-iex", "set tcp connect-timeout 20", "-x", Path(__file__).with_name("gdb_steps.py"), built(level)],
            env={**os.environ, "PORT": str(port), "STEPS": str(STEPS), "WANTED": str(places)},
            capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    finally:
        program.kill()
        program.wait()
    report = json.loads(done.stdout.strip().splitlines()[-1])
    assert report["different"] == []
    assert report["same"] > 300, done.stderr
