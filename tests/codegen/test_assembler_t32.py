"""T32 code that we make, against GNU as and executed on Unicorn."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from unicorn import UC_ARCH_ARM, UC_MODE_THUMB, Uc, arm_const

from armprobe.codegen.assembler_t32 import AssemblerT32
from armprobe.errors import InternalError
from armprobe.isa import encode_t32 as t32
from armprobe.isa.branch_t32 import reaches_t32
from armprobe.isa.steps import CompareJump, Constant, InBlock, Jump, Word

BASE = 0x0010_0000
STOP = 0x0020_0000
FAR = 0x4000_0000
MIB = 1 << 20
N, Z, C, V = 1 << 31, 1 << 30, 1 << 29, 1 << 28


def assemble(*steps, base=BASE) -> bytes:
    asm = AssemblerT32(base)
    asm.emit_steps(steps)
    return asm.finish()


def run(code: bytes, *, base=BASE, flags=0, **registers) -> Uc:
    """Execute T32 code until it arrives at STOP or FAR, in either instruction set."""
    uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB)
    for start in (BASE, STOP, FAR):
        uc.mem_map(start, 0x10000)
    uc.mem_write(base, code)
    uc.reg_write(arm_const.UC_ARM_REG_CPSR, flags | 0x30)
    for name, value in registers.items():
        uc.reg_write(getattr(arm_const, f"UC_ARM_REG_{name.upper()}"), value)
    places = {STOP, FAR, STOP + 0x100}
    uc.hook_add(4, lambda uc, address, *_: uc.emu_stop() if address in places else None)
    uc.emu_start(base | 1, 0xFFFFFFFE, count=30)
    return uc


def pc_of(uc: Uc) -> int:
    """PC, with bit 0 set in T32 state."""
    return uc.reg_read(arm_const.UC_ARM_REG_PC) | bool(uc.reg_read(arm_const.UC_ARM_REG_CPSR) & 0x20)


@pytest.mark.skipif(shutil.which("arm-none-eabi-as") is None, reason="needs arm-none-eabi-as")
def test_steps_are_what_gnu_as_makes(tmp_path):
    source = """
        push {r0}
        movw r0, #0x5678
        movt r0, #0x1234
        movw lr, #0xffff
        .short 0xbfe8 @ it al
        .short 0x1809 @ add r1, r1, r0
        ldrd r2, r3, [r0]
        cbnz r4, 1f
        b.w . + 0x100
     1: cbz r7, 2f
        ldr.w pc, 3f
     2: nop
     3: .word 0x40000000
    """
    (tmp_path / "t.s").write_text(f".arch armv7-a\n.syntax unified\n.thumb\n{source}\n")
    subprocess.run(["arm-none-eabi-as", "-o", tmp_path / "t.o", tmp_path / "t.s"], check=True, capture_output=True)
    subprocess.run(
        ["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", tmp_path / "t.o", tmp_path / "t.bin"], check=True
    )
    asm = AssemblerT32(BASE)
    asm.emit_steps([t32.push(1), Constant(0, 0x12345678), Constant(14, 0xFFFF), InBlock(0x1809), Word(0xE9D02300)])
    asm.emit_steps([CompareJump(4, False, asm.here + 2 + 0x100 | 1), CompareJump(7, True, FAR)])
    assert asm.finish().hex() == (tmp_path / "t.bin").read_bytes().hex()


@pytest.mark.parametrize("value", [0, 1, 0xFFFF, 0x10000, 0xFFFFFFFF, 0x12345678])
@pytest.mark.parametrize("flags", [0, N | Z | C | V])
def test_a_constant_changes_one_register_and_no_flag(value, flags):
    uc = run(assemble(Constant(5, value), Jump(STOP | 1)), flags=flags, r5=0xAAAAAAAA)
    assert uc.reg_read(arm_const.UC_ARM_REG_R5) == value
    assert uc.reg_read(arm_const.UC_ARM_REG_CPSR) & (N | Z | C | V) == flags


@pytest.mark.parametrize("target", [STOP | 1, FAR | 1, STOP, FAR])
@pytest.mark.parametrize("before", [(), (t32.NOP,)])
def test_a_jump_arrives_in_the_right_instruction_set_from_either_half_of_a_word(target, before):
    assert pc_of(run(assemble(*before, Jump(target)))) == target


@pytest.mark.parametrize("nonzero", [False, True])
@pytest.mark.parametrize("value", [0, 1, 0x80000000])
@pytest.mark.parametrize("target", [STOP | 1, FAR | 1])
def test_a_comparison_jumps_or_goes_on(nonzero, value, target):
    uc = run(assemble(CompareJump(3, nonzero, target), Jump(STOP + 0x100 | 1)), r3=value)
    assert pc_of(uc) == (target if bool(value) == nonzero else STOP + 0x100 | 1)


def test_an_instruction_that_sets_flags_outside_of_a_block_leaves_them_alone_in_one():
    adds = 0x1888  # adds r0, r1, r2; in a block: add
    inside = run(assemble(InBlock(adds), Jump(STOP | 1)), flags=N | C, r1=2, r2=3)
    outside = run(assemble(Word(adds, 2), Jump(STOP | 1)), flags=N | C, r1=2, r2=3)
    assert inside.reg_read(arm_const.UC_ARM_REG_R0) == outside.reg_read(arm_const.UC_ARM_REG_R0) == 5
    assert inside.reg_read(arm_const.UC_ARM_REG_CPSR) & (N | Z | C | V) == N | C
    assert outside.reg_read(arm_const.UC_ARM_REG_CPSR) & (N | Z | C | V) == 0


def test_literals_stand_once_after_the_code_at_a_multiple_of_four():
    code = assemble(t32.NOP, Jump(FAR), Jump(FAR), Jump(FAR | 1))
    assert len(code) == 2 + 4 + 4 + 4 + 2 + 8
    assert code[-8:] == FAR.to_bytes(4, "little") + (FAR | 1).to_bytes(4, "little")


def test_what_is_no_place_for_code_is_our_mistake():
    with pytest.raises(InternalError, match="0x40000002 is no place for A32 code"):
        assemble(Jump(FAR + 2))
    with pytest.raises(InternalError, match="starts at a multiple of 4, not at 0x00100002"):
        AssemblerT32(BASE + 2)


def test_the_reach_of_a_wide_branch_is_exact_to_the_halfword():
    source = 64 * MIB
    assert reaches_t32(source, source + 4 + 16 * MIB - 2)
    assert not reaches_t32(source, source + 4 + 16 * MIB)
    assert reaches_t32(source, source + 4 - 16 * MIB)
    assert not reaches_t32(source, source + 2 - 16 * MIB)
    assert not reaches_t32(source, source + 1)
    assert not reaches_t32(0xFFFFFFF0, 0x1_0000_0000)
