"""A second engine for the proof of relocation: cases in a static ARM program that runs under `qemu-arm`.

The program (qemu_user.S) takes the signals that end each run, so that a fault is a result like any other. Cases are
those that Unicorn completed and whose end is at a known place: nothing but them is executed.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from armprobe.errors import Refused
from armprobe.isa.instruction_set import InstructionSet
from armprobe.verification.cases import Case, make_case
from armprobe.verification.compare import Comparison, patch, register_differences
from armprobe.verification.copies import Copy
from armprobe.verification.layout import (
    AFTER,
    CODE,
    CODE_SIZE,
    COPIES,
    COPIES_COUNT,
    COPY_SIZE,
    DATA,
    REGION_SIZE,
    STACK,
    STOP,
    STOP_CODE,
    STOP_SIZE,
    slots,
)
from armprobe.verification.ledger import is_excluded
from armprobe.verification.machine import End
from armprobe.verification.states import SP

HARNESS, CASES = 0x50000000, 0x60000000
DATA_BEFORE, STACK_BEFORE, CODE_BEFORE = 0x11000000, 0x21000000, 0x01000000
SIGILL, SIGSEGV = 4, 11
#: address, entry unprobed and probed, site, what stands there unprobed and probed; state
_CASE = struct.Struct("<6I17I256s")
_RESULT = struct.Struct("<2I17I4I256s128s")
#: effects that end the program, or that a user-mode program under QEMU does not see as a processor would
_LEFT_OUT = frozenset({"exception", "exception_return", "mode", "privileged", "spsr", "wait"})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case with its copy, ready to be run."""

    case: Case
    copy: Copy


@dataclass(frozen=True, slots=True)
class Run:
    """What one run left: registers (`error` is the signal), hashes of data, code and stack, and what is below SP."""

    end: End
    hashes: tuple[int, ...]
    below: bytes


def prepare(seed: int, numbers: Sequence[int], instruction_set: InstructionSet = InstructionSet.A32) -> list[Prepared]:
    """Choose the cases that can run: at most one a slot, so `numbers` spans at most as many as there are."""
    assert max(numbers) - min(numbers) < slots(instruction_set)
    comparison, prepared = Comparison(), []
    for number in numbers:
        case = make_case(seed, number, instruction_set)
        if case.insn is None or is_excluded(case.row) or case.row.effects & _LEFT_OUT:
            continue
        try:
            outcome = comparison.run(case)
        except Refused:
            continue
        pc = outcome.unprobed.pc
        if not outcome.unprobed.error and (case.ends_at(pc) or STOP <= pc < STOP + STOP_SIZE - 4):
            prepared.append(Prepared(case, outcome.copy))
    return prepared


def run(prepared: Sequence[Prepared]) -> list[tuple[Run, Run]]:
    """Run the cases under qemu-arm: (unprobed, probed) for each.

    Needs `qemu-arm` and `arm-none-eabi-gcc`. Raises subprocess.CalledProcessError if either fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "cases.elf")
        program.write_bytes(_program(prepared, Path(folder)))
        program.chmod(0o755)
        command = ["qemu-arm", "-cpu", "max", str(program)]
        output = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600).stdout  # noqa: S603
    runs = [_read(fields) for fields in _RESULT.iter_unpack(output)]
    assert len(runs) == 2 * len(prepared), f"{len(runs)} results of {len(prepared)} cases"
    return list(zip(runs[::2], runs[1::2], strict=True))


def differences(prepared: Prepared, unprobed: Run, probed: Run) -> list[str]:
    """Name what differs between the runs of a case; by the rules of `Comparison`."""
    case, ends = prepared.case, (unprobed.end, probed.end)
    stopped = case.ends_at(unprobed.end.pc) or STOP <= unprobed.end.pc < STOP + STOP_SIZE
    found = register_differences(prepared.copy, *ends, failed=not stopped)
    names = ("data", "code", "stack")
    found += [name for name, *two in zip(names, unprobed.hashes, probed.hashes, strict=True) if two[0] != two[1]]
    start = case.state.core[SP] - STACK - len(unprobed.below)
    before = _contents(STACK, REGION_SIZE)[start : start + len(unprobed.below)]
    if any(one not in (was, other) for was, one, other in zip(before, unprobed.below, probed.below, strict=True)):
        found.append("below sp")
    return found


def _read(fields: tuple[int | bytes, ...]) -> Run:
    numbers = [field for field in fields if isinstance(field, int)]
    vector, below = (field for field in fields if isinstance(field, bytes))
    signal, fault, *core, pc, cpsr, fpscr = numbers[:20]
    # Of an undefined instruction the address is PC, which is compared as such.
    access = (0, fault if signal == SIGSEGV else 0)
    return Run(End(signal, access, tuple(core), cpsr, fpscr, vector, pc, ()), tuple(numbers[20:]), below)


def _contents(base: int, size: int) -> bytes:
    return Random(base).randbytes(size)  # noqa: S311  the same memory in every run


def _program(prepared: Sequence[Prepared], folder: Path) -> bytes:
    """The program: the harness, and one segment for each region and its contents before."""
    code = bytearray(_contents(CODE, CODE_SIZE))
    copies = bytearray(COPIES_COUNT * COPY_SIZE)
    table = b""
    for item in prepared:
        case, copy = item.case, item.copy
        stopped = case.code + AFTER[case.row.instruction_set]
        code[case.address - CODE : case.address - CODE + len(stopped)] = stopped
        copies[copy.address - COPIES : copy.address - COPIES + len(copy.code)] = copy.code
        state, t32 = case.state, case.row.instruction_set is InstructionSet.T32
        site = case.site_address - CODE
        original = code[site : site + 4]
        patched = bytes(patch(case, copy)) + original[len(patch(case, copy)) :]
        entry, probed_entry = case.address | t32, copy.address | 1 if t32 else case.address
        table += _CASE.pack(
            case.address, entry, probed_entry, case.site_address, int.from_bytes(original, "little"),
            int.from_bytes(patched, "little"), state.cpsr, *state.core, state.fpscr, state.vector,
        )  # fmt: skip
    symbols = {
        "CASES": CASES, "COUNT": len(prepared), "CASE_SIZE": _CASE.size, "DATA": DATA, "DATA_BEFORE": DATA_BEFORE,
        "STACK": STACK, "STACK_BEFORE": STACK_BEFORE, "CODE": CODE, "CODE_BEFORE": CODE_BEFORE,
        "REGION_SIZE": REGION_SIZE,
    }  # fmt: skip
    data, stack = _contents(DATA, REGION_SIZE), _contents(STACK, REGION_SIZE)
    segments = [
        (HARNESS, _harness(symbols, folder)),
        (CASES, table),
        *((base, bytes(code)) for base in (CODE, CODE_BEFORE)),
        *((base, data) for base in (DATA, DATA_BEFORE)),
        *((base, stack) for base in (STACK, STACK_BEFORE)),
        (COPIES, bytes(copies)),
        (STOP, STOP_CODE * (STOP_SIZE // 4)),
    ]
    return _elf(HARNESS, sorted(segments))


def _harness(symbols: dict[str, int], folder: Path) -> bytes:
    source, linked, binary = Path(__file__).with_suffix(".S"), folder / "harness.elf", folder / "harness.bin"
    defined = [f"-Wa,--defsym,{name}={value:#x}" for name, value in symbols.items()]
    build = ["arm-none-eabi-gcc", "-nostdlib", "-static", f"-Wl,-Ttext={HARNESS:#x}", *defined, str(source), "-o"]
    subprocess.run([*build, str(linked)], check=True, timeout=60)  # noqa: S603
    copy = ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", str(linked), str(binary)]
    subprocess.run(copy, check=True, timeout=60)  # noqa: S603
    return binary.read_bytes()


def _elf(entry: int, segments: Sequence[tuple[int, bytes]]) -> bytes:
    """A static ARM executable whose segments are all readable, writable and executable."""
    header_size, page = 52 + 32 * len(segments), 0x1000
    offset = -(-header_size // page) * page
    identification = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header = identification + struct.pack(
        "<2H5I6H", 2, 40, 1, entry, 52, 0, 0x05000200, 52, 32, len(segments), 40, 0, 0
    )
    body = b""
    for address, data in segments:
        header += struct.pack("<8I", 1, offset + len(body), address, address, len(data), len(data), 7, page)
        body += data + bytes(-len(data) % page)
    return header.ljust(offset, b"\0") + body
