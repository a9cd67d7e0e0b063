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

    `load` reads them all; until `forget`, `read` and `write` work with what was loaded. Whoever lets the engine run on
    must forget before.
    """

    __slots__ = (
        "_changed_ids", "_changed_pointers", "_changed_values", "_engine", "_ids", "_known", "_pc_id", "_pointers",
        "_read", "_values", "_write",
    )  # fmt: skip

    def __init__(self, engine: Any, *, binding: ModuleType, constants: ModuleType) -> None:
        identities = [getattr(constants, f"UC_ARM_REG_R{n}") for n in range(16)] + [constants.UC_ARM_REG_CPSR]
        self._engine = engine
        self._read, self._write = binding.uclib.uc_reg_read_batch, binding.uclib.uc_reg_write_batch
        self._values, self._changed_values = (ctypes.c_uint32 * _COUNT)(), (ctypes.c_uint32 * _COUNT)()
        self._pointers, self._changed_pointers = _pointers_to(self._values), _pointers_to(self._changed_values)
        self._ids, self._changed_ids = (ctypes.c_int32 * _COUNT)(*identities), (ctypes.c_int32 * _COUNT)()
        self._pc_id = (ctypes.c_int32 * 1)(identities[_PC])
        #: the values as the engine has them now; empty: not loaded
        self._known: list[int] = []

    def load(self) -> int:
        """Read all registers from the engine; return pc."""
        if self._read(self._engine, self._ids, self._pointers, _COUNT):
            raise InternalError("Unicorn did not give its registers")
        self._known = self._values[:]
        return self._known[_PC]

    def forget(self) -> None:
        """The engine is about to run: what was loaded is worth nothing any more."""
        self._known = []

    def read(self) -> Registers:
        if not self._known:
            self.load()
        return Registers(self._known[:_CPSR], self._known[_CPSR])

    def write(self, registers: Registers) -> None:
        """Write those registers that differ; all of them when cpsr does, since it may choose other banks."""
        if not self._known:
            self.load()
        known, cpsr = self._known, registers.cpsr
        wanted = [*registers.values, cpsr]
        wanted[_PC] &= ~1
        if wanted == known:
            return
        ids, count = self._changed_ids, 0
        if wanted[:_PC] == known[:_PC] and cpsr == known[_CPSR]:
            # The common case, made cheap: a probe was hit, and its handler changed nothing.
            ids, count = self._pc_id, 1
            self._changed_values[0] = wanted[_PC]
        else:
            everything = cpsr != known[_CPSR]
            for number in (_CPSR, *range(_CPSR)):
                if everything or wanted[number] != known[number]:
                    ids[count] = self._ids[number]
                    self._changed_values[count] = wanted[number]
                    count += 1
        if cpsr & CPSR_T and ids[count - 1] == self._pc_id[0]:
            self._changed_values[count - 1] |= 1  # Unicorn takes the T bit from bit 0 of what is written to pc
        if self._write(self._engine, ids, self._changed_pointers, count):
            raise InternalError("Unicorn did not take its registers")
        self._known = wanted

    @property
    def entry(self) -> int:
        """pc, with bit 0 set in T32 state, as `emu_start` wants it."""
        pc = self.load()
        return pc | 1 if self._known[_CPSR] & CPSR_T else pc


def _pointers_to(array: ctypes.Array[ctypes.c_uint32]) -> ctypes.Array[ctypes.c_void_p]:
    base = ctypes.addressof(array)
    return (ctypes.c_void_p * _COUNT)(*(base + 4 * n for n in range(_COUNT)))
