"""Instructions as text, against an independent assembler."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from armprobe.cli.patch_text import parse
from armprobe.errors import Refused, UsageError
from armprobe.isa.instruction_set import InstructionSet

A32, T32 = InstructionSet.A32, InstructionSet.T32
A32_TEXTS = [
    "nop", "nopne", "bkpt", "bkpt #0x1234", "udf #0x18", "svc #1", "svcne #0x123456", "hvc #0xabcd", "smc #3",
    "smceq #15",
]  # fmt: skip
T32_TEXTS = ["nop", "nop.w", "bkpt", "bkpt #18", "udf #24", "svc #1", "bx lr", "blx r3", "bx ip"]


def llvm(texts: list[str], triple: str) -> list[str]:
    done = subprocess.run(
        ["llvm-mc", f"-triple={triple}", "-mattr=+virtualization,+trustzone", "-show-encoding"],
        input="\n".join(text if text != "bkpt" else "bkpt #0" for text in texts),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ["".join(re.findall(r"0x(..)", line)) for line in re.findall(r"encoding: \[(.*)\]", done.stdout)]


@pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="llvm-mc is not installed")
@pytest.mark.parametrize(
    ("isa", "texts", "triple"),
    [(A32, A32_TEXTS, "armv7a-linux-gnueabi"), (T32, T32_TEXTS, "thumbv7a-linux-gnueabi")],
)
def test_text_is_what_llvm_assembles(isa, texts, triple):
    assert [parse(text, isa=isa, address=0x8000).hex() for text in texts] == llvm(texts, triple)


@pytest.mark.parametrize(
    ("isa", "text", "code"),
    [
        (A32, "b 0x9000", "fe0300ea"),
        (A32, "B  #0x9000", "fe0300ea"),
        (A32, "bls 0x9000", "fe03009a"),
        (A32, "blt 0x9000", "fe0300ba"),
        (A32, "ble 0x9000", "fe0300da"),
        (A32, "bleq 0x9000", "fe03000b"),
        (A32, "bal 0x9000", "fe0300ea"),
        (A32, "bl 0x9000", "fe0300eb"),
        (A32, "bl 36864", "fe0300eb"),
        (A32, "0xe92d4010", "10402de9"),
        (A32, "E92D4010", "10402de9"),
        (T32, "b510", "10b5"),
        (T32, "f000 b802", "00f002b8"),
        (T32, "f000b802", "00f002b8"),
        (T32, "0xf000b802", "00f002b8"),
        (T32, "b 0x8010", "06e0"),
        (T32, "b.n 0x8010", "06e0"),
        (T32, "bne 0x8010", "06d1"),
        (T32, "b.w 0x9000", "00f0febf"),
        (T32, "bne.w 0x9000", "40f0fe87"),
        (T32, "bl 0x9000", "00f0feff"),
        (T32, "blx 0x9000", "00f0feef"),
    ],
)
def test_branches_and_hexadecimal(isa, text, code):
    assert parse(text, isa=isa, address=0x8000).hex() == code


@pytest.mark.parametrize(
    "text",
    ["", "b", "bl", "push {r4}", "bkptne", "udfne", "hvceq", "bkpt #65536", "bkpt 1 2", "smc #16", "nop #1", "b lr",
     "bx lr", "isb", "b -4", "e92d401", "123"],
)  # fmt: skip
def test_what_is_no_instruction_of_a32_is_an_error(text):
    message = f"wanted one instruction of A32, in hexadecimal or one of a few in text, got {text!r}"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$") as caught:
        parse(text, isa=A32, address=0x8000)
    assert caught.value.hint == "for example e92d4010, 'b 0x9000', 'bne 0x9000', bl, nop, bkpt, udf, svc, hvc, smc"


@pytest.mark.parametrize(
    "text", ["", "b", "hvc #1", "bkpt #256", "bl.w 0x9000", "blne 0x9000", "bx 0x9000", "b.x 0x8010"]
)
def test_what_is_no_instruction_of_t32_is_an_error(text):
    with pytest.raises(
        UsageError, match=r"^wanted one instruction of T32, in hexadecimal or one of a few in text, got "
    ):
        parse(text, isa=T32, address=0x8000)


def test_a_halfword_is_no_a32_word():
    with pytest.raises(UsageError, match=r"^an A32 word has 8 hexadecimal digits, not 'b510'$"):
        parse("b510", isa=A32, address=0x8000)


def test_a_branch_out_of_reach_is_refused():
    with pytest.raises(Refused, match=r"^a branch at 0x00008000 reaches 0x00000000 to 0x02008004, not 0x10000000$"):
        parse("b 0x10000000", isa=A32, address=0x8000)
