"""GNU objdump as a second opinion on which words are valid, and the list of where it is not to be believed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from armprobe.isa.rows import Row

OBJDUMP = shutil.which("arm-none-eabi-objdump")
needs_objdump = pytest.mark.skipif(OBJDUMP is None, reason="arm-none-eabi-objdump is not installed")

WORDS_PER_ROW = 150


@dataclass(frozen=True, slots=True)
class Explained:
    """Rows (a regular expression) and what we say (another) where objdump says otherwise, and why we are right."""

    rows: str
    verdict: str
    reason: str


_LIST = "objdump prints register lists that are empty or end after the last register (UNPREDICTABLE in the manual)"
_PC = "objdump prints PC as an operand where the manual says UNPREDICTABLE"
_SHOULD_BE = "objdump ignores these should-be bits"

EXPLAINED: dict[str, tuple[Explained, ...]] = {
    "vfp": (
        Explained(r"VLDM.*|VSTM.*|FLDM.*|FSTM.*", r".*(regs|imm8) .*", _LIST),
        Explained(r"VLDM.*|VSTM.*|FLDM.*|FSTM.*", r"Rn == 15.*", _PC),
        Explained(r"VMOV_.*|VDUP_core_A1|VMRS_system_A1|VMSR.*", r"Rt2? == 15", _PC),
        Explained(r"VMOV_.*_to_two_core_A1", r"Rt == Rt2", "objdump prints one register as both results"),
        Explained(r"VMOV_two_.*", r"Sm == 31", "objdump prints s32"),
        Explained(r"VCMP_A2|VDUP_core_A1|VMOV_core_to_scalar_A1|VMOV_scalar_to_core_A1", r"should-be .*", _SHOULD_BE),
        Explained(r"VMOV_scalar_to_core_A1", r"U == 1.*", "objdump prints U, which must be 0 for a whole word"),
        Explained(r"VMRS_system_A1|VMSR_system_A1", r"reg not in .*", "objdump prints registers A profiles lack"),
        Explained(r"VCVT_fixed_floating_A1", r"sx == 0 .*", "objdump prints a negative number of fraction bits"),
        Explained(r"VCVT_fixed_floating_A1", r"valid", "objdump does not know 16-bit fixed-point of half-precision"),
    ),
    "advsimd": (
        Explained(r"V(LD|ST)[1-4].*", r"Rn == 15", _PC),
        Explained(r"V(LD|ST)[1-4].*", r"Dd .* > 3[12]", _LIST),
        Explained(r"V(LD|ST)[1-4].*", r"(align|a|size) .*", "objdump prints alignments that are reserved"),
        Explained(r"VTB[LX]_A1", r"Dn \+ regs > 32", _LIST),
        Explained(r"V(C..|ABS|NEG)_?.*A1", r"F == 1 and size == 0", "objdump prints floating-point of 8 bits"),
        Explained(r"VRECPE_A1|VRSQRTE_A1", r"F == 0 and size == 1", "objdump prints estimates of 16-bit integers"),
        Explained(r"VREV32_A1|VREV16_A1", r"size .*", "objdump prints elements as long as the region or longer"),
        Explained(r"VUZP_A1|VZIP_A1", r"Q == 0 and size == 2", "objdump prints what is spelled VTRN.32"),
        Explained(r"VMUL_polynomial_A1", r"size != 0", "objdump prints polynomials of 16 and 32 bits"),
        Explained(r"VCVT_(single|half)_to_.*", r"size != 1", "objdump prints VRINT with no rounding mode"),
        Explained(r"VCVT_fixed_half_A1", r"imm6 < 48", "objdump prints more fraction bits than there are"),
        Explained(r"V(MOV|MVN|ORR|BIC)_immediate_A1.*", r".*imm8 == 0.*", "objdump prints a shifted zero"),
    ),
}


def objdump(words: Sequence[int]) -> list[str]:
    """The text objdump prints for each word."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "words"
        path.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
        command = [str(OBJDUMP), "-D", "-z", "-b", "binary", "-m", "arm", str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.split("\t", 2)[2] for line in output.splitlines() if re.match(r" +[0-9a-f]+:\t", line)]
    assert len(lines) == len(words)
    return lines


def says_valid(text: str) -> bool:
    """Whether what objdump printed is an instruction it takes for valid; a generic coprocessor name is not one."""
    bad = re.search(r"UNDEFINED|UNPREDICTABLE|illegal|undefined|\.word", text)
    return not bad and not re.match(r"(ldc|stc|cdp|mcr|mrc)", text)


def disagreements(rows: Sequence[Row], explained: Sequence[Explained]) -> tuple[list[str], set[Explained]]:
    """What objdump says otherwise on random words of the rows, and those of `explained` that were of use."""
    cases: list[tuple[Row, int]] = []
    for row in rows:
        rng = Random(row.name)
        cases += [(row, _random_word(row, rng)) for _ in range(WORDS_PER_ROW)]
    unexplained, used = [], set()
    for (row, word), text in zip(cases, objdump([word for _, word in cases]), strict=True):
        owner = next(other for other in rows if other.matches(word))
        problem = owner.invalid(word)
        if says_valid(text) == (problem is None):
            continue
        verdict = problem[1] if problem else "valid"
        for entry in explained:
            if re.fullmatch(entry.rows, owner.name) and re.fullmatch(entry.verdict, verdict):
                used.add(entry)
                break
        else:
            unexplained.append(f"0x{word:08x} {owner.name} ({row.name}): {verdict}; objdump: {text}")
    return unexplained, used


def _random_word(row: Row, rng: Random) -> int:
    word = rng.getrandbits(32) & ~row.mask | row.value
    if rng.random() < 0.8:
        word = word & ~row.should_mask | row.should_value
    for shift, mask in row.fields.values():
        if rng.random() < 0.25:  # the ends of fields are where conditions lie
            word = word & ~(mask << shift) | rng.choice((0, mask)) << shift
    if row.conditional and (word >> 28 == 15 or rng.random() < 0.7):
        word = word & 0x0FFF_FFFF | 0xE000_0000
    return word
