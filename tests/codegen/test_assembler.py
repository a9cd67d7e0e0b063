"""The assembler against GNU as, and its sequences executed on Unicorn."""

from __future__ import annotations

import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unicorn import UC_ARCH_ARM, UC_MODE_ARM, Uc, arm_const

from armprobe.codegen.assembler import (
    PC,
    Assembler,
    Label,
    Line,
    encode_immediate,
)
from armprobe.errors import InternalError, Refused, TableError
from armprobe.isa.branch import reaches
from armprobe.isa.insn import CONDITIONS, REGISTER_NAMES, expand_immediate
from armprobe.isa.steps import Constant, Jump, Word

BASE = 0x0001_0000
MIB = 1 << 20


def gnu_words(source: str, directory) -> list[int]:
    """Assemble with GNU as at address 0; the words of .text."""
    text, obj, binary = directory / "t.s", directory / "t.o", directory / "t.bin"
    text.write_text(f".arch armv7-a\n.syntax unified\n{source}\n")
    subprocess.run(["arm-none-eabi-as", "-o", obj, text], check=True)
    subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", obj, binary], check=True)
    return list(struct.unpack(f"<{binary.stat().st_size // 4}I", binary.read_bytes()))


#: one call, and the same instruction for GNU as
EMITTERS = [
    *((lambda asm, n=n: asm.push((n,)), f"push {{{REGISTER_NAMES[n]}}}") for n in (0, 7, 14)),
    (lambda asm: asm.push((4, 14, 0)), "push {r0, r4, lr}"),
    (lambda asm: asm.push(range(13)), "push {r0-r12}"),
    *((lambda asm, n=n: asm.pop((n,)), f"pop {{{REGISTER_NAMES[n]}}}") for n in (0, 7, 14, 15)),
    (lambda asm: asm.pop((4, 15, 0)), "pop {r0, r4, pc}"),
    (lambda asm: asm.mov(1, 13), "mov r1, sp"),
    (lambda asm: asm.mov(12, 3), "mov r12, r3"),
    (lambda asm: asm.mov_imm(3, 0xFF000000), "mov r3, #0xff000000"),
    (lambda asm: asm.mov_imm(3, 0x3FC), "mov r3, #0x3fc"),
    (lambda asm: asm.mvn_imm(3, 0xF000000F), "mvn r3, #0xf000000f"),
    (lambda asm: asm.movw(11, 0xABCD), "movw r11, #0xabcd"),
    (lambda asm: asm.movt(0, 0xFFFF), "movt r0, #0xffff"),
    (lambda asm: asm.add_imm(13, 13, 8), "add sp, sp, #8"),
    (lambda asm: asm.sub_imm(2, 15, 0x400), "sub r2, pc, #0x400"),
    (lambda asm: asm.cmp_imm(0, 1), "cmp r0, #1"),
    (lambda asm: asm.ldr(1, 2), "ldr r1, [r2]"),
    (lambda asm: asm.ldr(1, 13, 4095), "ldr r1, [sp, #4095]"),
    (lambda asm: asm.ldr(15, 15, -4), "ldr pc, [pc, #-4]"),
    (lambda asm: asm.str_(1, 2), "str r1, [r2]"),
    (lambda asm: asm.str_(14, 3, -4095), "str lr, [r3, #-4095]"),
    (lambda asm: asm.mrs(4), "mrs r4, cpsr"),
    (lambda asm: asm.msr_flags(4), "msr cpsr_f, r4"),
    (lambda asm: asm.word(0xE7F000F0), "udf #0"),
]


def test_every_emitter_makes_the_word_that_gnu_as_makes(tmp_path):
    asm = Assembler(BASE)
    for emit, _ in EMITTERS:
        emit(asm)
    expected = gnu_words("\n".join(text for _, text in EMITTERS), tmp_path)
    for (_, text), word, gnu in zip(EMITTERS, asm.finish().words, expected, strict=True):
        assert f"{word:08x}" == f"{gnu:08x}", text


def test_branches_go_where_gnu_as_lets_them_go(tmp_path):
    """Forward and backward, to labels and addresses, under every condition."""
    asm = Assembler(0)
    start, end = Label("start"), Label("end")
    asm.bind(start)
    for cond in range(15):
        asm.b(start, cond=cond)
        asm.b(end, cond=cond)
        asm.b(0x400, cond=cond)
    asm.bind(end)
    asm.word(0xE320F000)
    lines = [f"b{cond} start\nb{cond} end\nb{cond} start + 0x400" for cond in CONDITIONS[:15]]
    assert list(asm.finish().words) == gnu_words("start:\n" + "\n".join(lines) + "\nend: nop", tmp_path)


@pytest.mark.parametrize("source", [0x0000_0000, 0x0800_0000, 0xFFFF_FFFC - 40 * MIB])
@pytest.mark.parametrize(
    ("distance", "reached"),
    [
        (32 * MIB + 4, True),
        (32 * MIB + 8, False),
        (8 - 32 * MIB, True),
        (4 - 32 * MIB, False),
        (32 * MIB + 6, False),
        (2, False),
        (0, True),
    ],
)
def test_the_reach_of_a_branch_is_exact_to_the_word(source, distance, reached):
    target = source + distance
    reached = reached and target >= 0
    assert reaches(source, target) is reached
    asm = Assembler(source)
    if not reached:
        with pytest.raises(InternalError, match="does not reach"):
            asm.b(target)
        return
    asm.b(target)
    (word,) = asm.finish().words
    offset = ((word & 0xFFFFFF) ^ 0x800000) - 0x800000
    assert word >> 24 == 0xEA
    assert source + 8 + 4 * offset == target


def test_a_branch_never_wraps_around_the_address_space():
    assert not reaches(0xFFFFFFF0, 0x1_0000_0000)
    assert not reaches(0x10, -0x10)


@given(st.integers(0, 2**32 - 1))
def test_a_modified_immediate_stands_for_its_value(value):
    byte, rotation = value & 0xFF, value >> 8 & 15
    rotated = (byte >> 2 * rotation | byte << 32 - 2 * rotation) & 0xFFFFFFFF
    assert expand_immediate(rotation << 8 | byte) == rotated
    encoded = encode_immediate(rotated)
    assert encoded is not None
    assert expand_immediate(encoded) == rotated
    encoded = encode_immediate(value)
    assert encoded is None or expand_immediate(encoded) == value


def run(code, *, until: int) -> dict[str, int]:
    """Run code from its start; registers and flags are set to something first."""
    uc = Uc(UC_ARCH_ARM, UC_MODE_ARM)
    uc.mem_map(code.base & ~0xFFF, 0x2000)
    uc.mem_write(code.base, code.data)
    uc.reg_write(arm_const.UC_ARM_REG_CPSR, 0xF80F0010)
    for number in range(13):
        uc.reg_write(arm_const.UC_ARM_REG_R0 + number, 0x11111111 * number)
    uc.emu_start(code.base, until, count=100)
    names = (*REGISTER_NAMES, "cpsr")
    return {name: uc.reg_read(getattr(arm_const, f"UC_ARM_REG_{name.upper()}")) for name in names}


@pytest.mark.parametrize("architecture", [5, 7])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, 1),
        (0xFF000000, 1),
        (0xFFFFFFFF, 1),
        (0xFFFF00FF, 1),
        (0x1234, {7: 1, 5: 2}),
        (0x12345678, 2),
        (0xFFFF0000, 2),
    ],
)
def test_a_constant_takes_the_fewest_words_and_changes_nothing_else(architecture, value, words):
    asm = Assembler(BASE, architecture=architecture)
    asm.emit_constant(9, value)
    end = asm.here
    code = asm.finish()
    assert len(code.words) == (words if isinstance(words, int) else words[architecture])
    after = run(code, until=end)
    assert {name: after[name] for name in REGISTER_NAMES[:13]} == {
        name: value if number == 9 else 0x11111111 * number for number, name in enumerate(REGISTER_NAMES[:13])
    }
    assert after["cpsr"] == 0xF80F0010


def test_a_negative_constant_is_its_32_bits():
    asm = Assembler(BASE)
    asm.emit_constant(0, -2)
    assert asm.finish().words == (0xE3E00001,)  # mvn r0, #1


def test_a_jump_is_a_branch_where_one_reaches_and_a_load_of_pc_elsewhere():
    for target, words in ((BASE + 32 * MIB + 4, 1), (BASE + 32 * MIB + 8, 2), (0xFFFF0000, 2), (BASE + 0x101, 2)):
        asm = Assembler(BASE)
        with asm.exactly(4):
            asm.emit_jump(target)
        assert len(asm.finish().words) == words


@pytest.mark.parametrize(("target", "thumb"), [(BASE + 0x100, 0), (BASE + 0x100, 1)])
def test_a_jump_arrives_in_the_right_instruction_set(target, thumb):
    asm = Assembler(BASE)
    asm.emit_jump(target | thumb)
    after = run(asm.finish(), until=target)
    assert after["pc"] == target
    assert after["cpsr"] == 0xF80F0010 | thumb << 5


def test_literals_stand_once_behind_the_code_and_are_listed_as_data():
    asm = Assembler(BASE, architecture=5)
    asm.emit_constant(0, 0x12345678)
    asm.emit_constant(1, 0x9ABCDEF0, "the other")
    asm.emit_constant(2, 0x12345678)
    end = asm.here
    code = asm.finish()
    assert [f"{word:08x}" for word in code.words] == [
        "e59f0004",  # ldr r0, [pc, #4]
        "e59f1004",  # ldr r1, [pc, #4]
        "e51f2004",  # ldr r2, [pc, #-4]
        "12345678",
        "9abcdef0",
    ]
    assert code.lines == (
        Line(0, 4, "r0 = 0x12345678"),
        Line(4, 4, "the other"),
        Line(8, 4, "r2 = 0x12345678"),
        Line(12, 4, "literal", data=True),
        Line(16, 4, "literal", data=True),
    )
    after = run(code, until=end)
    assert (after["r0"], after["r1"], after["r2"]) == (0x12345678, 0x9ABCDEF0, 0x12345678)


def test_the_steps_of_a_relocation_are_assembled_where_they_stand():
    asm = Assembler(BASE)
    asm.emit_steps((Word(0xE0800001), Constant(2, 0x8008), Jump(BASE)))
    code = asm.finish()
    assert code.words == (0xE0800001, 0xE3082008, 0xEAFFFFFC)  # add r0, r0, r1; movw r2, #0x8008; b .-8
    assert [line.comment for line in code.lines] == ["displaced", "r2 = 0x8008", "go to 0x00010000"]


def test_code_of_another_size_than_promised_is_an_error():
    asm = Assembler(BASE)
    with pytest.raises(InternalError, match=r"^the code at 0x00010000 is 4 bytes long, not 8$"), asm.exactly(8):
        asm.mov(0, 1)


def test_an_exception_within_a_measured_scope_is_not_hidden():
    asm = Assembler(BASE)
    with pytest.raises(ValueError, match="mine"), asm.exactly(8):
        raise ValueError("mine")


def unbound(asm):
    asm.b(Label("nowhere"))
    asm.finish()


def twice(asm):
    label = Label("here")
    asm.bind(label)
    asm.bind(label)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda _: Assembler(2), InternalError, "A32 code starts at a multiple of 4, not at 0x00000002"),
        (unbound, InternalError, "label 'nowhere' is used and never bound"),
        (twice, InternalError, "label 'here' is bound twice"),
        (
            lambda asm: asm.mov_imm(0, 0x101),
            InternalError,
            "0x101 is no modified immediate; emit_constant takes any value",
        ),
        (lambda asm: asm.push(()), InternalError, "a push or pop of no register"),
        (lambda asm: asm.emit_jump(0x102), InternalError, "0x00000102 is no place for A32 code"),
        (
            lambda asm: asm.b(0x0800_0000),
            InternalError,
            "a branch at 0x00010000 does not reach 0x08000000; emit_jump does",
        ),
        (lambda asm: asm.ldr(0, 1, 4096), TableError, "LDR_immediate_A1: imm12=4096 does not fit in 12 bits"),
        (lambda asm: asm.movw(0, 0x10000), TableError, "MOV_immediate_A2: imm4=16 does not fit in 4 bits"),
        (
            lambda _: Assembler(BASE, architecture=4).emit_jump(0x8001),
            Refused,
            "a jump to T32 code at 0x00008000 needs architecture 5 or later, and this target has architecture 4",
        ),
    ],
)
def test_what_cannot_be_encoded_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(Assembler(BASE))
    assert str(caught.value) == message


def test_a_far_jump_in_the_last_word_finds_its_literal():
    asm = Assembler(BASE)
    asm.ldr_literal(PC, BASE + 0x40)
    code = asm.finish()
    assert code.words == (0xE51FF004, BASE + 0x40)  # ldr pc, [pc, #-4]
    assert run(code, until=BASE + 0x40)["pc"] == BASE + 0x40
