"""A bare processor for the sweep: Unicorn without the Target protocol, as fast as Python can drive it.

Memory is shared with the emulator (`mem_map_ptr`), and all registers move in one call. A run ends at a hook, before
anything but the instruction and its copy is executed.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Container
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from armprobe.isa.itstate import to_psr
from armprobe.verification.cases import Case
from armprobe.verification.layout import (
    CODE,
    CODE_SIZE,
    COPIES,
    COPIES_COUNT,
    COPY_SIZE,
    DATA,
    REGION_SIZE,
    STACK,
    STOP,
    STOP_CODE,
    STOP_SIZE,
)
from armprobe.verification.states import CPSR_T, State

# Without Unicorn nothing here makes sense, so it is imported at once; it has no types worth the name.
unicorn: Any = import_module("unicorn")
arm: Any = import_module("unicorn.arm_const")
_library: Any = import_module("unicorn.unicorn_py3.unicorn").uclib

_REGISTERS = (
    arm.UC_ARM_REG_CPSR,  # first: it selects the bank of sp and lr
    *(arm.UC_ARM_REG_R0 + n for n in range(13)),
    arm.UC_ARM_REG_SP,
    arm.UC_ARM_REG_LR,
    arm.UC_ARM_REG_FPSCR,
    *(arm.UC_ARM_REG_D0 + n for n in range(32)),
    arm.UC_ARM_REG_PC,  # last: read, not written
)
_STATE = struct.Struct("<17I4x256s")
_END = struct.Struct("<17I4x256sI")
_RUBBISH = bytes(range(0x81, 0xFF)) * (REGION_SIZE // 126 + 1)
_IT = to_psr(0xFF)
#: kinds of accesses that fail -> Unicorn's errors
_ERRORS = {
    unicorn.UC_MEM_READ_UNMAPPED: unicorn.UC_ERR_READ_UNMAPPED,
    unicorn.UC_MEM_WRITE_UNMAPPED: unicorn.UC_ERR_WRITE_UNMAPPED,
}
_NEVER = 0xFFFFFFFE  # no run gets there
_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


@dataclass(frozen=True, slots=True)
class Memory:
    """A region that program and host share."""

    base: int
    buffer: Any
    address: int
    size: int

    def get(self, start: int, size: int) -> bytes:
        """Bytes at target addresses."""
        return ctypes.string_at(self.address + start - self.base, size)

    def put(self, start: int, data: bytes) -> None:
        ctypes.memmove(self.address + start - self.base, data, len(data))

    def same_as(self, other: Memory) -> bool:
        return not _memcmp(self.address, other.address, self.size)

    def copy_from(self, other: Memory) -> None:
        ctypes.memmove(self.address, other.address, self.size)


def new_memory(base: int, size: int) -> Memory:
    """Zeroed host memory at a page boundary, which Unicorn asks for."""
    buffer = ctypes.create_string_buffer(size + 0x1000)
    return Memory(base, buffer, ctypes.addressof(buffer) + 0xFFF & ~0xFFF, size)


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended: Unicorn's error number (0: all was executed), and the access that failed: (kind, address)."""

    error: int
    access: tuple[int, int]
    core: tuple[int, ...]
    cpsr: int
    fpscr: int
    vector: bytes
    pc: int
    #: SP before each instruction of the copy in an interrupted run
    stack_pointers: tuple[int, ...]


class Machine:
    """One processor with its memory."""

    def __init__(self) -> None:
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        self._uc.ctl_set_cpu_model(arm.UC_CPU_ARM_MAX)
        self.code = self._map(CODE, CODE_SIZE)
        self.copies = self._map(COPIES, COPIES_COUNT * COPY_SIZE)
        self.data = self._map(DATA, REGION_SIZE, executable=False)
        self.stack = self._map(STACK, REGION_SIZE, executable=False)
        #: what a program may change
        self.memories = (self.code, self.data, self.stack)
        self.stop = self._map(STOP, STOP_SIZE)
        self.stop.put(STOP, STOP_CODE * (STOP_SIZE // 4))
        self._failed = (0, 0)
        self._started = self._stopped = self._interrupted = self._t32 = False
        self._within: Container[int] = ()
        self._last = 0
        #: the memories when a run stopped, where it matters
        self._kept: list[bytes] = []
        self._stack_pointers: list[int] = []
        self._uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)
        self._uc.hook_add(unicorn.UC_HOOK_CODE, self._on_code)
        self._uc.reg_write(arm.UC_ARM_REG_C1_C0_2, 0xF << 20)  # CPACR: coprocessors 10 and 11
        self._uc.reg_write(arm.UC_ARM_REG_FPEXC, 1 << 30)
        self._fresh = self._uc.context_save()
        self._values = ctypes.create_string_buffer(_END.size)
        self._ids = (ctypes.c_int * len(_REGISTERS))(*_REGISTERS)
        start = ctypes.addressof(self._values)
        places = [start + 4 * n for n in range(17)] + [start + 72 + 8 * n for n in range(33)]
        self._pointers = (ctypes.c_void_p * len(_REGISTERS))(*places)

    def run(
        self,
        state: State,
        pc: int,
        *,
        within: Container[int] = (),
        interrupted: bool = False,
    ) -> End:
        """Execute the instruction at `pc`, and what it leads to within `within`, forwards; stop before anything else.

        `interrupted`: before each instruction there an interrupt handler uses the stack, which leaves rubbish below SP.
        """
        self._uc.context_restore(self._fresh)
        _STATE.pack_into(self._values, 0, state.cpsr, *state.core, state.fpscr, state.vector)
        _library.uc_reg_write_batch(self._uc._uch, self._ids, self._pointers, len(_REGISTERS) - 1)
        self._failed, self._started, self._within, self._interrupted = (0, 0), False, within, interrupted
        self._stopped = False
        self._kept = []
        self._t32 = bool(state.cpsr & CPSR_T)
        self._stack_pointers.clear()
        error = 0
        try:
            self._uc.emu_start(pc | self._t32, _NEVER)
        except unicorn.UcError as failure:
            error = failure.errno
        for memory, content in zip(self.memories, self._kept, strict=False):
            memory.put(memory.base, content)
        if self._stopped:
            error = _ERRORS.get(self._failed[0], 0)
        else:
            self._read_registers()
        cpsr, *core, fpscr, vector, pc = _END.unpack(self._values.raw)
        if error and self._failed[0] in _ERRORS and (self._stopped or self._t32):
            pc = self._last
        if self._stopped and self._t32:
            cpsr &= ~_IT  # no code that runs here ends within a block
        return End(error, self._failed, tuple(core), cpsr, fpscr, vector, pc, tuple(self._stack_pointers))

    def run_in_place(self, case: Case) -> End:
        """Execute the instructions of a case where they stand."""
        return self.run(case.state, case.address, within=case.places if len(case.insns) > 1 else ())

    def accesses(self, case: Case) -> bool:
        """Whether the instructions of a case load or store as data what stands where the probe will."""
        seen: list[int] = []

        def on_access(_uc: Any, _kind: int, address: int, *_rest: object) -> None:
            seen.append(address)

        # An access of up to 16 bytes may begin before the instruction.
        kinds = unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE
        site = case.site_address
        hook = self._uc.hook_add(kinds, on_access, begin=site - 15, end=site + case.insns[case.site].length - 1)
        try:
            self.run_in_place(case)
        finally:
            self._uc.hook_del(hook)
        return bool(seen)

    def write_code(self, address: int, code: bytes) -> None:
        """Put code where something else may have been translated, if only because a branch went there."""
        (self.code if address < COPIES else self.copies).put(address, code)
        self._uc.ctl_remove_cache(address, address + len(code))

    def _map(self, base: int, size: int, *, executable: bool = True) -> Memory:
        memory = new_memory(base, size)
        rights = unicorn.UC_PROT_ALL if executable else unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        self._uc.mem_map_ptr(base, size, rights, memory.address)
        return memory

    def _on_code(self, uc: Any, address: int, _size: int, _data: object) -> None:
        if self._stopped:
            return
        if not self._started:
            self._started = True
        elif self._failed[0] or address not in self._within or (address <= self._last and self._last in self._within):
            # In an IT block, and in A32 code that it leads to, Unicorn 2.1.4 goes on for a while, after a fault too.
            uc.emu_stop()
            self._stopped = True
            self._read_registers()
            if self._t32 and not uc.reg_read(arm.UC_ARM_REG_CPSR) & CPSR_T:
                self._kept = [memory.get(memory.base, memory.size) for memory in self.memories]
            return
        elif self._interrupted:
            sp = uc.reg_read(arm.UC_ARM_REG_SP)
            self._stack_pointers.append(sp)
            if STACK < sp <= STACK + REGION_SIZE:
                self.stack.put(STACK, _RUBBISH[: sp - STACK])
        self._last = address
        if self._t32:
            # After some instructions Unicorn 2.1.4 keeps the ITSTATE that they were executed with.
            cpsr = uc.reg_read(arm.UC_ARM_REG_CPSR)
            if cpsr & _IT:
                uc.reg_write(arm.UC_ARM_REG_CPSR, cpsr & ~_IT)

    def _read_registers(self) -> None:
        _library.uc_reg_read_batch(self._uc._uch, self._ids, self._pointers, len(_REGISTERS))

    def _on_invalid(self, _uc: object, access: int, address: int, _size: int, _value: int, _data: object) -> bool:
        if not (self._stopped or self._failed[0]):
            self._failed = (access, address)
        return False
