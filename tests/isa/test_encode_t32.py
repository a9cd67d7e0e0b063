"""T32 instructions of our own against GNU as, and the values that they do not hold."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from armprobe.errors import InternalError
from armprobe.isa import encode_t32 as t32
from armprobe.isa.insn import CONDITIONS, REGISTER_NAMES
from armprobe.isa.steps import Word

#: what is encoded, and the same for GNU as
ENCODED = [
    (t32.NOP, "nop"),
    *((t32.movw(n, value), f"movw {REGISTER_NAMES[n]}, #{value}") for n in (0, 9, 14) for value in (0, 0xFFFF, 0xABCD)),
    *((t32.movt(n, value), f"movt {REGISTER_NAMES[n]}, #{value}") for n in (0, 9, 14) for value in (0, 0xFFFF, 0x5432)),
    (t32.push(0x01), "push {r0}"),
    (t32.push(0x40C3), "push {r0, r1, r6, r7, lr}"),
    (t32.pop(0x80), "pop {r7}"),
    (t32.pop(0x803C), "pop {r2-r5, pc}"),
    (t32.ldr(0, 0), "ldr.w r0, [r0]"),
    (t32.ldr(13, 13), "ldr.w sp, [sp]"),
    (t32.ldr(12, 14, 4095), "ldr.w r12, [lr, #4095]"),
    (t32.str_to_stack(7, 1020), "str r7, [sp, #1020]"),
    (t32.str_to_stack(0, 4), "str r0, [sp, #4]"),
    (t32.add(1, 13), "add r1, sp"),
    (t32.add(12, 14), "add r12, lr"),
    (t32.add(9, 3), "add r9, r3"),
    (t32.add_doubled(3, 12, 5), "add.w r3, r12, r5, lsl #1"),
    (t32.set_bit_0(6), "orr.w r6, r6, #1"),
    (t32.load_table_entry(2, 12, 14, halfword=False), "ldrb.w r2, [r12, lr]"),
    (t32.load_table_entry(2, 12, 14, halfword=True), "ldrh.w r2, [r12, lr, lsl #1]"),
    *((t32.bx(n), f"bx {REGISTER_NAMES[n]}") for n in (0, 12, 13, 14)),
    *((t32.cbz(n, at), f"cbz r{n}, . + 4 + {at}") for n in (0, 7) for at in (0, 2, 62, 64, 126)),
    (t32.cbz(3, 8, nonzero=True), "cbnz r3, . + 4 + 8"),
    (t32.ldr_literal(15, 4092), "ldr.w pc, [pc, #4092]"),
    (t32.ldr_literal(0, -4), "ldr.w r0, [pc, #-4]"),
]


def gnu_code(source: str, directory) -> bytes:
    """Assemble T32 with GNU as at address 0; the bytes of .text."""
    text, obj, binary = directory / "t.s", directory / "t.o", directory / "t.bin"
    text.write_text(f".arch armv7-a\n.syntax unified\n.thumb\n{source}\n")
    subprocess.run(
        ["arm-none-eabi-as", "-o", obj, text],
        check=True,
    )
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", obj, binary], check=True)
    return binary.read_bytes()


def code_of(word: Word) -> bytes:
    halves = (word.word >> 16, word.word & 0xFFFF) if word.size == 4 else (word.word,)
    return b"".join(half.to_bytes(2, "little") for half in halves)


@pytest.mark.skipif(shutil.which("arm-none-eabi-as") is None, reason="needs arm-none-eabi-as")
def test_every_instruction_is_what_gnu_as_makes(tmp_path):
    expected = gnu_code("\n".join(text for _, text in ENCODED), tmp_path)
    at = 0
    for word, text in ENCODED:
        assert code_of(word).hex() == expected[at : at + word.size].hex(), text
        at += word.size
    assert at == len(expected)


@pytest.mark.skipif(shutil.which("arm-none-eabi-as") is None, reason="needs arm-none-eabi-as")
def test_it_has_every_condition(tmp_path):
    expected = gnu_code("\n".join(f"it {cond}\nadd{cond} r0, r1, r2" for cond in CONDITIONS[:14]), tmp_path)
    made = b"".join(code_of(t32.it(cond)) + code_of(Word(0x1888, 2)) for cond in range(14))
    assert made == expected


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: t32.movw(0, 0x10000),
        lambda: t32.push(0x100),
        lambda: t32.push(0),
        lambda: t32.pop(0x4000),
        lambda: t32.pop(0),
        lambda: t32.ldr(0, 0, 4096),
        lambda: t32.str_to_stack(8, 0),
        lambda: t32.str_to_stack(0, 2),
        lambda: t32.cbz(8, 0),
        lambda: t32.cbz(0, 128),
        lambda: t32.cbz(0, 3),
        lambda: t32.cbz(0, -2),
        lambda: t32.ldr_literal(0, 4096),
    ],
)
def test_a_value_that_an_instruction_does_not_hold_is_our_mistake(wrong):
    with pytest.raises(InternalError):
        wrong()
