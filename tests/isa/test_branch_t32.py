"""T32 branches against an independent assembler."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from armprobe.errors import Refused, UsageError
from armprobe.isa.branch_t32 import branch_t32
from armprobe.isa.insn import ALWAYS, CONDITIONS

SOURCE = 0x2000000
#: mnemonic, condition, offsets from PC that are ends of the range or change one field
CASES = [
    ("b", ALWAYS, (-2048, 2046, 0, -4, 2)),
    ("b", 1, (-256, 254, 0, 6)),
    ("b.w", ALWAYS, (-(1 << 24), (1 << 24) - 2, 0, 0x1000, 0x400000, 0x800000, -2, -0x400002)),
    ("b.w", 11, (-(1 << 20), (1 << 20) - 2, 0, 0x1000, 0x40000, 0x80000, -2)),
    ("bl", ALWAYS, (-(1 << 24), (1 << 24) - 2, 0, 0x1002, 0x400000, -0x800000)),
    ("blx", ALWAYS, (-(1 << 24), (1 << 24) - 4, 0, 0x1004, 0x400000, -0x800000)),
]


def encode(mnemonic: str, cond: int, offset: int) -> str:
    return branch_t32(mnemonic, SOURCE, SOURCE + 4 + offset, cond=cond).hex()


@pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="llvm-mc is not installed")
def test_every_branch_is_what_llvm_assembles():
    cases = [(mnemonic, cond, offset) for mnemonic, cond, offsets in CASES for offset in offsets]
    lines = []
    for mnemonic, cond, offset in cases:
        name, _, width = mnemonic.partition(".")
        lines.append(f"{name}{CONDITIONS[cond]}{'.' + (width or 'n') if name == 'b' else ''} #{offset}")
    done = subprocess.run(
        ["llvm-mc", "-triple=thumbv7a-linux-gnueabi", "-show-encoding"],
        input="\n".join(lines), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = ["".join(re.findall(r"0x(..)", line)) for line in re.findall(r"encoding: \[(.*)\]", done.stdout)]
    assert found == [encode(*case) for case in cases]


@pytest.mark.parametrize(("mnemonic", "cond", "offsets"), CASES)
def test_what_lies_beyond_either_end_is_refused(mnemonic, cond, offsets):
    for offset in (offsets[0] - 4, offsets[1] + 4):
        with pytest.raises(Refused):
            encode(mnemonic, cond, offset)


def test_the_refusal_names_the_range():
    message = "b at 0x00008000 reaches multiples of 2 from 0x00007804 to 0x00008802, not 0x00009000"
    with pytest.raises(Refused, match=f"^{message}$"):
        branch_t32("b", 0x8000, 0x9000)


def test_an_odd_target_is_refused():
    with pytest.raises(Refused, match=r"not 0x00008011$"):
        branch_t32("b", 0x8000, 0x8011)


def test_blx_at_a_halfword_counts_from_the_word():
    assert branch_t32("blx", 0x8002, 0x8008).hex() == branch_t32("blx", 0x8000, 0x8008).hex() == "00f002e8"


@pytest.mark.parametrize(("mnemonic", "cond"), [("bx", ALWAYS), ("bl", 0), ("blx", 3), ("b", 15)])
def test_what_has_no_encoding_is_an_error(mnemonic, cond):
    with pytest.raises(UsageError, match=f"^T32 has no branch '{mnemonic}' with condition {cond}$"):
        branch_t32(mnemonic, 0x8000, 0x8004, cond=cond)
