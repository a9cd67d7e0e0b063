"""Target code that reads what no core register holds: `armprobe.isa.reading` says what."""

from __future__ import annotations

from collections.abc import Callable

from armprobe.codegen.ir import Lines
from armprobe.isa.reading import (
    Constant,
    CoreRegister,
    Load,
    Masked,
    Reading,
    Routine,
    Sum,
    SystemRegister,
    WideRegister,
    width,
)
from armprobe.targets.base import CPSR_MODE, MODE_USER


def read_value(
    ir: Lines, reading: Reading, register: Callable[[str], str], known: dict[SystemRegister, str] | None = None
) -> str:
    """The value, as wide as `width` says; `register` gives the value of a core register.

    System registers of 32 bits that are `known` are not read again; those that are read are added.
    """
    known = {} if known is None else known
    match reading:
        case Constant(value):
            return str(value)
        case CoreRegister(name):
            return register(name)
        case SystemRegister():
            if reading not in known:
                ir.declare("i32 @llvm.arm.mrc(i32, i32, i32, i32, i32)")
                numbers = _numbers(reading.coprocessor, reading.opc1, reading.crn, reading.crm, reading.opc2)
                known[reading] = ir.value(f"call i32 @llvm.arm.mrc({numbers})")
            return known[reading]
        case WideRegister():
            ir.declare("{ i32, i32 } @llvm.arm.mrrc(i32, i32, i32)")
            numbers = _numbers(reading.coprocessor, reading.opc1, reading.crm)
            pair = ir.value(f"call {{ i32, i32 }} @llvm.arm.mrrc({numbers})")
            halves = [ir.value(f"extractvalue {{ i32, i32 }} {pair}, {half}") for half in (0, 1)]
            low, high = (ir.value(f"zext i32 {half} to i64") for half in halves)
            return ir.value(f"or i64 {ir.value(f'shl i64 {high}, 32')}, {low}")
        case Load(address, offset, size):
            place = ir.value(f"inttoptr i32 {read_value(ir, address, register, known)} to ptr")
            loaded = ir.value(f"load volatile i{8 * size}, ptr {ir.offset(place, offset)}, align {size}")
            return loaded if size >= 4 else ir.value(f"zext i{8 * size} {loaded} to i32")
        case Masked(value, mask):
            return ir.value(f"and i32 {read_value(ir, value, register, known)}, {mask}")
        case Sum(value, addend):
            return ir.value(f"add i32 {read_value(ir, value, register, known)}, {addend}")
        case Routine(name):
            ir.declare(f"i64 @{name}() nounwind")
            return ir.value(f"call i64 @{name}()")


def read_privileged(ir: Lines, reading: Reading, register: Callable[[str], str]) -> str:
    """The value; 0 in user mode, which may not read it."""
    kind = f"i{width(reading)}"
    found, privileged, out = ir.variable(kind, "0"), ir.label(), ir.label()
    mode = ir.value(f"and i32 {register('cpsr')}, {CPSR_MODE}")
    ir.branch(ir.value(f"icmp eq i32 {mode}, {MODE_USER}"), out, privileged, rare=True)
    ir.begin(privileged)
    ir.line(f"store {kind} {read_value(ir, reading, register)}, ptr {found}")
    ir.jump(out)
    ir.begin(out)
    return ir.value(f"load {kind}, ptr {found}")


def _numbers(*numbers: int) -> str:
    return ", ".join(f"i32 {number}" for number in numbers)
