"""The usage columns against a second engine: qemu-arm, which is newer than Unicorn. All words of a set are one program.

It has the half-precision, BFloat16 and matrix instructions of ARMv8.2 to ARMv8.6, which Unicorn lacks.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from armprobe.isa import itstate
from armprobe.isa.a32 import advsimd, vfp
from armprobe.isa.decoder import find_row, table
from armprobe.isa.instruction_set import InstructionSet, to_bytes
from armprobe.isa.rows import Row
from armprobe.verification.step import Outcome, State
from armprobe.verification.usage import judge, state_pair, valid_words

#: registers the program keeps for itself
OWN = 0xFC00
_TOOLS = ("arm-none-eabi-as", "arm-none-eabi-ld", "qemu-arm")
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, _TOOLS)), reason="needs qemu-arm and the GNU assembler for ARM"
)
#: d0 to d31, FPSCR, CPSR, r0 to r9
RECORD = struct.Struct("<64I12I")
IT_AL = bytes.fromhex("e8bf")
#: loads a record into the registers, executes the word, appends a record
CASE = """
    vldmia r11!, {{d0-d15}}
    vldmia r11!, {{d16-d31}}
    ldm r11!, {{r0, r1}}
    vmsr fpscr, r0
    msr apsr_nzcvqg, r1
    ldm r11!, {{r0-r9}}
    .byte {code}
    vstmia r12!, {{d0-d15}}
    vstmia r12!, {{d16-d31}}
    add r10, r12, #8
    stm r10, {{r0-r9}}
    vmrs r0, fpscr
    mrs r1, apsr
    stm r12, {{r0, r1}}
    add r12, r12, #48
"""
PROGRAM = """
    .syntax unified
    .arch armv7-a
    .fpu neon-vfpv4
    .{mode}
    .globl _start
    .type _start, %function
_start:
    movw r11, #:lower16:input
    movt r11, #:upper16:input
    movw r12, #:lower16:output
    movt r12, #:upper16:output
    {cases}
    mov r0, #1
    movw r1, #:lower16:output
    movt r1, #:upper16:output
    sub r2, r12, r1
    mov r7, #4 @ write
    svc 0
    mov r0, #0
    mov r7, #1 @ exit
    svc 0
    .data
    .balign 8
input:
    .incbin "input"
    .bss
    .balign 8
output:
    .space {size}
"""


def execute(codes: list[bytes], states: list[State], folder: Path, mode: str) -> list[Outcome]:
    """Run each piece of code from its state in qemu-arm's newest processor; `mode` is `arm` or `thumb`."""
    records = [RECORD.pack(*state.vector, state.fpscr, state.cpsr, *state.core[:10]) for state in states]
    (folder / "input").write_bytes(b"".join(records))
    cases = "".join(CASE.format(code=", ".join(map(str, code))) for code in codes)
    (folder / "program.s").write_text(PROGRAM.format(mode=mode, cases=cases, size=RECORD.size * len(codes)))
    subprocess.run(["arm-none-eabi-as", "program.s", "-o", "program.o"], cwd=folder, check=True)
    subprocess.run(["arm-none-eabi-ld", "program.o", "-o", "program"], cwd=folder, check=True)
    output = subprocess.run(["qemu-arm", "-cpu", "max", "program"], cwd=folder, check=True, capture_output=True).stdout
    outcomes = []
    for state, values in zip(states, RECORD.iter_unpack(output), strict=True):
        after = State([*values[66:], *state.core[10:]], values[65], values[64], list(values[:64]))
        outcomes.append(Outcome(after, 0, [], []))
    return outcomes


def problems_of(cases: list[tuple[Row, int]], folder: Path, *, in_it: bool = False) -> list[str]:
    """What the words, all of one set, do that their rows do not say; with `in_it` in an IT block with "always"."""
    random, instruction_set = Random(1), cases[0][0].instruction_set
    it = itstate.start(14, 0b1000) if in_it else 0
    pairs = [state_pair(row, word, random, it=it) for row, word in cases]
    before = IT_AL if in_it else b""
    codes = [before + to_bytes(word, instruction_set) for _, word in cases for _ in range(2)]
    mode = "arm" if instruction_set is InstructionSet.A32 else "thumb"
    outcomes = execute(codes, [state for pair in pairs for state in pair], folder, mode)
    problems = []
    for n, ((row, word), pair) in enumerate(zip(cases, pairs, strict=True)):
        problem = judge(row, word, pair, (outcomes[2 * n], outcomes[2 * n + 1]), it=it)
        if problem:
            problems.append(f"{row.name} 0x{word:08x}: {problem}")
    return problems


def executable(rows: Sequence[Row], count: int, *, it: int = 0) -> list[tuple[Row, int]]:
    """Words that reach no memory, no PC, and no register that the program keeps."""
    cases = []
    for row, word in valid_words(rows, count, it=it):
        usage = row.usage(word, it)
        if not (usage.loads or usage.stores or (usage.reads | usage.writes) & OWN):
            cases.append((row, word))
    return cases


@pytest.mark.slow
@needs_tools
def test_every_row_without_memory_and_pc_reads_and_writes_what_it_says(tmp_path: Path) -> None:
    cases = executable(table(), 10)
    problems = problems_of(cases, tmp_path)
    assert not problems, "\n".join(problems)
    executed = {row.name for row, _ in cases}
    vectors = {row.name for row in (*vfp.table.rows, *advsimd.table.rows) if row.memory == "none"}
    assert vectors - executed == {"VMSR_system_A1", "VMRS_system_A1"}


@pytest.mark.slow
@needs_tools
@pytest.mark.parametrize("in_it", [False, True])
def test_every_such_row_of_t32_does_so_too(tmp_path: Path, in_it: bool) -> None:
    rows = table(InstructionSet.T32)
    it = itstate.start(14, 0b1000) if in_it else 0
    cases = executable(rows, 10, it=it)
    problems = problems_of(cases, tmp_path, in_it=in_it)
    assert not problems, "\n".join(problems)
    executed = {row.name for row, _ in cases}
    expected = {
        row.name for row, _ in valid_words(rows, 1, it=it) if row.memory == "none" and row.relocate == "verbatim"
    }
    assert {name for name in expected - executed if "_SP_" not in name} == set()  # the program keeps SP


@needs_tools
def test_a_wrong_row_is_found_as_well(tmp_path: Path) -> None:
    word = 0xF2020844  # vadd.i8 q0, q1, q2
    row = find_row(word)
    assert row is not None
    wrong = [replace(row, _compiled={}, **columns) for columns in ({"vreads": "Vn"}, {"vwrites": "Dd"})]
    assert problems_of([(row, word), *((row, word) for row in wrong)], tmp_path) == [
        "VADD_integer_A1 0xf2020844: word 0 of d0 depends on what is not listed as read",
        "VADD_integer_A1 0xf2020844: writes s2",
    ]
