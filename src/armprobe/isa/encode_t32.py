"""Single T32 instructions of our own, none of which touches a flag. Registers are numbers, offsets bytes.

16-bit encodings where there is one that fits; those that would set flags outside of an IT block are not among them.
"""

from __future__ import annotations

from armprobe.errors import InternalError
from armprobe.isa.steps import Word

NOP = Word(0xBF00, 2)
_SP, _LR, _PC = 13, 14, 15


def _fits(what: str, value: int, highest: int, unit: int = 1) -> int:
    if not 0 <= value <= highest or value % unit:
        raise InternalError(f"{what} takes multiples of {unit} from 0 to {highest}, not {value}")
    return value


def movw(register: int, value: int) -> Word:
    """movw register, #value: 16 bits, the upper half becomes zero"""
    return _move(0xF2400000, register, _fits("movw", value, 0xFFFF))


def movt(register: int, value: int) -> Word:
    """movt register, #value: 16 bits into the upper half"""
    return _move(0xF2C00000, register, _fits("movt", value, 0xFFFF))


def _move(base: int, register: int, value: int) -> Word:
    imm4, i, imm3, imm8 = value >> 12, value >> 11 & 1, value >> 8 & 7, value & 0xFF
    return Word(base | i << 26 | imm4 << 16 | imm3 << 12 | register << 8 | imm8)


def push(registers: int) -> Word:
    """push {registers}: a mask of r0 to r7 and lr"""
    if not registers or registers & ~(0xFF | 1 << _LR):
        raise InternalError(f"a 16-bit push holds r0 to r7 and lr, not 0x{registers:04x}")
    return Word(0xB400 | (registers >> _LR & 1) << 8 | registers & 0xFF, 2)


def pop(registers: int) -> Word:
    """pop {registers}: a mask of r0 to r7 and pc"""
    if not registers or registers & ~(0xFF | 1 << _PC):
        raise InternalError(f"a 16-bit pop holds r0 to r7 and pc, not 0x{registers:04x}")
    return Word(0xBC00 | (registers >> _PC & 1) << 8 | registers & 0xFF, 2)


def ldr(register: int, base: int, offset: int = 0) -> Word:
    """ldr.w register, [base, #offset]"""
    return Word(0xF8D00000 | base << 16 | register << 12 | _fits("ldr.w", offset, 0xFFF))


def str_to_stack(register: int, offset: int) -> Word:
    """str register, [sp, #offset]: r0 to r7"""
    return Word(0x9000 | _fits("str", register, 7) << 8 | _fits("str", offset, 1020, 4) >> 2, 2)


def add(register: int, other: int) -> Word:
    """add register, other: all registers, no flags in either state"""
    return Word(0x4400 | (register & 8) << 4 | other << 3 | register & 7, 2)


def add_doubled(register: int, first: int, second: int) -> Word:
    """add.w register, first, second, lsl #1"""
    return Word(0xEB000040 | first << 16 | register << 8 | second)


def set_bit_0(register: int) -> Word:
    """orr.w register, register, #1"""
    return Word(0xF0400001 | register << 16 | register << 8)


def load_table_entry(register: int, base: int, index: int, *, halfword: bool) -> Word:
    """ldrb.w register, [base, index], or ldrh.w register, [base, index, lsl #1]"""
    return Word((0xF8300010 if halfword else 0xF8100000) | base << 16 | register << 12 | index)


def bx(register: int) -> Word:
    """bx register"""
    return Word(0x4700 | register << 3, 2)


def it(cond: int) -> Word:
    """it cond: one instruction; with AL it is always executed, but as in a block"""
    return Word(0xBF08 | cond << 4, 2)


def cbz(register: int, distance: int, *, nonzero: bool = False) -> Word:
    """cbz or cbnz register: r0 to r7, `distance` bytes from PC, which is its own address plus 4"""
    distance = _fits("cbz", distance, 126, 2)
    base = 0xB900 if nonzero else 0xB100
    return Word(base | (distance >> 6) << 9 | (distance >> 1 & 31) << 3 | _fits("cbz", register, 7), 2)


def ldr_literal(register: int, distance: int) -> Word:
    """ldr.w register, [pc, #distance]: from PC, which is aligned to a word; with register 15 a jump that interworks"""
    base = 0xF8DF0000 if distance >= 0 else 0xF85F0000
    return Word(base | register << 12 | _fits("ldr.w", abs(distance), 0xFFF))
