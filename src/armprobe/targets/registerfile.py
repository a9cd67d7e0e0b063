"""The registers of a Unicorn engine, read and written in one call each.

Unicorn's own Python functions take a microsecond and more for every register; the trap of a probe needs all seventeen.
"""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any

from armprobe.errors import InternalError
from armprobe.targets.base import CPSR_T, Registers

_COUNT = 17
_PC, _CPSR = 15, 16


class RegisterFile:
    """r0 to r12, sp, lr, pc and cpsr of `engine`; `binding` is the module that holds Unicorn's C functions.

    `load` reads them all; until `forget`, `read` and `write` work with what was loaded. Who loads while the engine is
    stopped in a hook must forget before it runs on.
    """

    __slots__ = (
        "_batch_ids", "_batch_pointers", "_engine", "_ids", "_loaded", "_pointers", "_read", "_values", "_write",
        "_written",
    )  # fmt: skip

    def __init__(self, engine: Any, *, binding: ModuleType, constants: ModuleType) -> None:
        identities = [getattr(constants, f"UC_ARM_REG_R{n}") for n in range(16)] + [constants.UC_ARM_REG_CPSR]
        self._engine = engine
        self._read, self._write = binding.uclib.uc_reg_read_batch, binding.uclib.uc_reg_write_batch
        self._values, self._written = (ctypes.c_uint32 * _COUNT)(), (ctypes.c_uint32 * _COUNT)()
        self._ids = (ctypes.c_int32 * _COUNT)(*identities)
        self._pointers = _pointers_to(self._values)
        self._batch_ids = (ctypes.c_int32 * _COUNT)()
        self._batch_pointers = _pointers_to(self._written)
        self._loaded = False

    def load(self) -> int:
        """Read all registers from the engine; return pc."""
        if self._read(self._engine, self._ids, self._pointers, _COUNT):
            raise InternalError("Unicorn did not give its registers")
        self._loaded = True
        return self._values[_PC]

    def forget(self) -> None:
        """The engine is about to run: what was loaded is worth nothing any more."""
        self._loaded = False

    def read(self) -> Registers:
        if not self._loaded:
            self.load()
            self._loaded = False
        values = self._values[:]
        return Registers(values[: _PC + 1], values[_CPSR])

    def write(self, registers: Registers) -> None:
        """Write those registers that differ; all of them when cpsr does, since it may choose other banks."""
        if not self._loaded:
            self.load()
            self._loaded = False
        old, new, cpsr = self._values, self._written, registers.cpsr
        wanted = [*registers.values, cpsr]
        if cpsr != old[_CPSR]:
            changed = [_CPSR, *range(_CPSR)]
        else:
            changed = [n for n, value in enumerate(wanted) if value != old[n]]
        if not changed:
            return
        for position, number in enumerate(changed):
            new[position] = wanted[number]
            self._batch_ids[position] = self._ids[number]
            old[number] = wanted[number]
        if changed[-1] == _PC and cpsr & CPSR_T:
            new[len(changed) - 1] |= 1  # Unicorn takes the T bit from bit 0 of what is written to pc
        if self._write(self._engine, self._batch_ids, self._batch_pointers, len(changed)):
            raise InternalError("Unicorn did not take its registers")

    @property
    def entry(self) -> int:
        """pc, with bit 0 set in T32 state, as `emu_start` wants it."""
        pc = self.load()
        self._loaded = False
        return pc | 1 if self._values[_CPSR] & CPSR_T else pc


def _pointers_to(array: ctypes.Array[ctypes.c_uint32]) -> ctypes.Array[ctypes.c_void_p]:
    base = ctypes.addressof(array)
    return (ctypes.c_void_p * _COUNT)(*(base + 4 * n for n in range(_COUNT)))
