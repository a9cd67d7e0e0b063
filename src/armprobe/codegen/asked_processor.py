"""Memory of a board as its processor sees it at this moment, in target code that never faults and reads no device.

The processor translates an address as it would for a load (ATS1CPR), with its MMU on or off, and says in PAR which
physical memory it stands for, or that the load would fault. That happens with interrupts masked, until the memory was
read: no handler of the program changes its translation tables meanwhile, nor what PAR holds. PAR is as before then.
"""

from __future__ import annotations

from armprobe.codegen.assembler import LR, SP, Assembler, Label
from armprobe.codegen.ir import Lines
from armprobe.codegen.masking import Masking
from armprobe.codegen.memory import check
from armprobe.errors import InternalError
from armprobe.targets.capabilities import HYPERVISOR, MODE, AskedProcessor

_PAGE = 0x1000
_SYSTEM = 15
_KEPT, _PUSH_LR = 4, 0xE92D_4000
#: the operands of MRC and MCR behind the register: CRn, CRm, opc2 (DDI 0406C B4.2)
_SCTLR, _PAR, _ATS1CPR = "i32 1, i32 0, i32 0", "i32 7, i32 4, i32 0", "i32 7, i32 8, i32 0"
#: opc1 of ATS1HR, which is ATS1CPR else
_HYPERVISORS = 4
_WIDE_PAR = "i32 7"
_MMU_ON = 1
#: bits of PAR (DDI 0406C B4.1.112): translation would fault; a supersection; the format of 64 bits, whose second word
#: has the address bits from 32 on, as the first one has those of a supersection
_FAULT, _SUPERSECTION, _LONG, _HIGH, _SUPER_HIGH = 1, 2, 1 << 11, 0xFF, 0xFF_0000
_SUPER_BASE, _BASE = 0xFF00_0000, 0xFFFF_F000


def leave_nothing(routine: tuple[int, ...]) -> tuple[int, ...]:
    """The routine, entered so that it leaves no return address below SP: there it looks like the PC of a task.

    It is to begin with a `push` that has LR. 8 bytes of stack more are used, for which nothing is left either.
    """
    if routine[0] & _PUSH_LR != _PUSH_LR:
        raise InternalError(f"a routine begins with 0x{routine[0]:08x}, and LR is elsewhere than expected")
    asm, body = Assembler(0), Label("the routine")
    asm.push([_KEPT, LR])
    asm.bl(body)
    asm.mov_imm(_KEPT, 0)
    asm.str_(_KEPT, SP, -4)
    asm.ldr(LR, SP, 4)
    asm.str_(_KEPT, SP, 4)
    asm.pop_above(_KEPT, 8)
    asm.bx(LR)
    asm.bind(body)
    asm.block(routine)
    return asm.finish().words


class AskedProcessorMemory:
    """Memory is where it is, if the processor says so. Whoever asked calls `done` on every way out."""

    def __init__(self, ir: Lines, asked: AskedProcessor) -> None:
        self._ir = ir
        self._asked = asked
        self._masking = Masking(ir)
        for signature in (
            "i32 @llvm.arm.mrc(i32, i32, i32, i32, i32)",
            "void @llvm.arm.mcr(i32, i32, i32, i32, i32, i32)",
            "{i32, i32} @llvm.arm.mrrc(i32, i32, i32)",
            "void @llvm.arm.mcrr(i32, i32, i32, i32, i32)",
            "void @llvm.arm.isb(i32)",
        ):
            ir.declare(signature)

    def of(self, address: str, bad: str) -> str:
        """Where the byte at `address` can be read, with the rest of its page; go to `bad` where it can't be."""
        ir = self._ir
        status = self._masking.status()
        mode = ir.value(f"and i32 {status}, {MODE}")
        for unanswered in self._asked.unanswered:
            self._unless(f"icmp eq i32 {mode}, {unanswered}", bad)
        self._masking.mask(status)
        physical = self._translate(address, mode, bad) if self._asked.translates else self._flat(address, bad)
        check(ir, physical, 1, self._asked.memory, bad)
        return address

    def done(self) -> None:
        """To be called when what `of` found was read."""
        ir = self._ir
        unmask, out = ir.label(), ir.label()
        ir.branch(self._masking.is_off(), out, unmask)
        ir.begin(unmask)
        self._masking.restore()
        ir.jump(out)
        ir.begin(out)

    def _flat(self, address: str, bad: str) -> str:
        self._unless(f"icmp ne i32 {self._ir.value(f'and i32 {self._read(_SCTLR)}, {_MMU_ON}')}, 0", bad)
        return address

    def _translate(self, address: str, mode: str, bad: str) -> str:
        """The physical address of the page that `address` lies in, below 4 GiB, or of a byte in it."""
        ir = self._ir
        kept = self._read_par()
        self._ask(address, mode)
        ir.line(f"call void @llvm.arm.isb(i32 {_SYSTEM})")
        found, high = self._read_par()
        self._write_par(*kept)
        self._unless(f"icmp ne i32 {ir.value(f'and i32 {found}, {_FAULT}')}, 0", bad)
        is_long = ir.value(f"icmp ne i32 {ir.value(f'and i32 {found}, {_LONG}')}, 0") if self._asked.wide else "false"
        is_super = ir.value(f"icmp ne i32 {ir.value(f'and i32 {found}, {_SUPERSECTION}')}, 0")
        is_super = ir.value(f"select i1 {is_long}, i1 false, i1 {is_super}")
        beyond = ir.value(f"select i1 {is_super}, i32 {ir.value(f'and i32 {found}, {_SUPER_HIGH}')}, i32 0")
        if self._asked.wide:
            beyond = ir.value(f"select i1 {is_long}, i32 {ir.value(f'and i32 {high}, {_HIGH}')}, i32 {beyond}")
        self._unless(f"icmp ne i32 {beyond}, 0", bad)
        base = ir.value(f"select i1 {is_super}, i32 {_SUPER_BASE}, i32 {_BASE}")
        offset = ir.value(f"and i32 {address}, {ir.value(f'xor i32 {base}, -1')}")
        return ir.value(f"or i32 {ir.value(f'and i32 {found}, {base}')}, {offset}")

    def _ask(self, address: str, mode: str) -> None:
        if not self._asked.hypervisor:
            self._write(_ATS1CPR, address)
            return
        ir = self._ir
        hypervisor, other, end = (ir.label() for _ in range(3))
        ir.branch(ir.value(f"icmp eq i32 {mode}, {HYPERVISOR}"), hypervisor, other)
        ir.begin(hypervisor)
        self._write(_ATS1CPR, address, opc1=_HYPERVISORS)
        ir.jump(end)
        ir.begin(other)
        self._write(_ATS1CPR, address)
        ir.jump(end)
        ir.begin(end)

    def _read_par(self) -> tuple[str, str]:
        if not self._asked.wide:
            return self._read(_PAR), "0"
        both = self._ir.value(f"call {{i32, i32}} @llvm.arm.mrrc(i32 15, i32 0, {_WIDE_PAR})")
        low, high = (self._ir.value(f"extractvalue {{i32, i32}} {both}, {half}") for half in (0, 1))
        return low, high

    def _write_par(self, low: str, high: str) -> None:
        if self._asked.wide:
            self._ir.line(f"call void @llvm.arm.mcrr(i32 15, i32 0, i32 {low}, i32 {high}, {_WIDE_PAR})")
        else:
            self._write(_PAR, low)

    def _read(self, register: str) -> str:
        return self._ir.value(f"call i32 @llvm.arm.mrc(i32 15, i32 0, {register})")

    def _write(self, register: str, value: str, *, opc1: int = 0) -> None:
        self._ir.line(f"call void @llvm.arm.mcr(i32 15, i32 {opc1}, i32 {value}, {register})")

    def _unless(self, condition: str, bad: str) -> None:
        good = self._ir.label()
        self._ir.branch(self._ir.value(condition), bad, good)
        self._ir.begin(good)
