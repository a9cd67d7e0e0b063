"""Interrupts that a routine masks for a moment, so that nobody else runs on its processor."""

from __future__ import annotations

from armprobe.codegen.ir import Lines

#: CPSR.I and CPSR.F
_MASKED = 0xC0


class Masking:
    """Whether a routine has masked interrupts. Whoever may have done so restores them on every way out."""

    def __init__(self, ir: Lines) -> None:
        self._ir = ir
        #: CPSR as it was, 0 where they are not masked by us
        self._saved = ir.variable("i32", "0")
        ir.declare("i32 @llvm.read_register.i32(metadata)")
        ir.declare("void @llvm.write_register.i32(metadata, i32)")

    def status(self) -> str:
        """CPSR as it is."""
        return self._ir.value(f"call i32 @llvm.read_register.i32(metadata !{self._ir.metadata('cpsr')})")

    def mask(self, status: str) -> None:
        """Mask interrupts; `status` is CPSR as it is."""
        self._ir.line(f"store i32 {status}, ptr {self._saved}")
        self._set(self._ir.value(f"or i32 {status}, {_MASKED}"))

    def is_off(self) -> str:
        """An i1: they are not masked by us."""
        return self._ir.value(f"icmp eq i32 {self._ir.value(f'load i32, ptr {self._saved}')}, 0")

    def restore(self) -> None:
        """Let interrupts come as before they were masked."""
        self._set(self._ir.value(f"load i32, ptr {self._saved}"))
        self._ir.line(f"store i32 0, ptr {self._saved}")

    def _set(self, status: str) -> None:
        self._ir.line(f"call void @llvm.write_register.i32(metadata !{self._ir.metadata('cpsr_c')}, i32 {status})")
