"""One instruction at a time in Unicorn, from any state, with every memory access recorded."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Any

from armprobe.isa.instruction_set import InstructionSet, to_bytes

# Without Unicorn nothing here makes sense, so it is imported at once; it has no types worth the name.
unicorn: Any = import_module("unicorn")
arm: Any = import_module("unicorn.arm_const")
_library: Any = import_module("unicorn.unicorn_py3.unicorn").uclib

#: where a word stands: each has two places
CODE = (0x0010_0000, 0x0030_0000)
DATA = 0x4000_0000
STACK = 0x6000_0000
#: bytes at DATA and at STACK
WINDOW = 0x10_0000
_CODE_SIZE = 0x10_0000
#: words a machine has room for
CAPACITY = _CODE_SIZE // 8

_NOP = {InstructionSet.A32: 0xE1A00000, InstructionSet.T32: 0xF3AF8000}
_NARROW_NOP = b"\x00\xbf"
#: CPSR.T: the processor is in T32
_THUMB = 1 << 5
#: bits that make a load-exclusive of a store-exclusive: same base, same size, its status register loaded
_LOAD_EXCLUSIVE = 0x0010_000F
_REGISTERS = (
    *(arm.UC_ARM_REG_R0 + n for n in range(13)), arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_CPSR,
    arm.UC_ARM_REG_FPSCR, *(arm.UC_ARM_REG_D0 + n for n in range(32)),
    arm.UC_ARM_REG_PC,  # last: read, not written
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """Registers: r0 to r14, CPSR, FPSCR, and the vectors as 64 units of 32 bits."""

    core: list[int]
    cpsr: int
    fpscr: int
    vector: list[int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one instruction left behind: (address, size) of each load, (address, size, value) of each store."""

    state: State
    pc: int
    loads: list[tuple[int, int]]
    stores: list[tuple[int, int, int]]


class Stepper:
    """Unicorn with each word at two places, and random memory that is restored after every step."""

    def __init__(self, words: Sequence[int], instruction_set: InstructionSet = InstructionSet.A32) -> None:
        self._thumb = instruction_set is InstructionSet.T32
        pairs = _pairs(words, instruction_set)
        random = Random(0)  # noqa: S311  reproducible on purpose
        self._memory = {DATA: random.randbytes(WINDOW), STACK: random.randbytes(WINDOW)}
        self._memory |= {base: pairs.ljust(_CODE_SIZE, b"\0") for base in CODE}
        self._uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        self._uc.ctl_set_cpu_model(arm.UC_CPU_ARM_MAX)
        for base, content in self._memory.items():
            self._uc.mem_map(base, len(content))
            self._uc.mem_write(base, content)
        self._uc.reg_write(arm.UC_ARM_REG_C1_C0_2, 0xF << 20)  # CPACR: coprocessors 10 and 11
        self._uc.reg_write(arm.UC_ARM_REG_FPEXC, 1 << 30)
        self._fresh = self._uc.context_save()
        # All registers move in one call, each in 64 bits: one by one they would take most of the time.
        self._values = (ctypes.c_uint64 * len(_REGISTERS))()
        self._ids = (ctypes.c_int * len(_REGISTERS))(*_REGISTERS)
        start = ctypes.addressof(self._values)
        self._places = (ctypes.c_void_p * len(_REGISTERS))(*range(start, start + 8 * len(_REGISTERS), 8))
        self._loads: list[tuple[int, int]] = []
        self._stores: list[tuple[int, int, int]] = []
        self._uc.hook_add(unicorn.UC_HOOK_MEM_READ, self._on_load)
        self._uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._on_store)

    def step(self, address: int, state: State, *, exclusive: bool = False) -> Outcome | str:
        """Execute one instruction; "invalid" if Unicorn does not know it, "fault" if an access missed the memory.

        `exclusive`: a load-exclusive comes before, so that a store-exclusive succeeds.
        """
        self._uc.context_restore(self._fresh)  # without what an earlier load-exclusive left behind
        if exclusive:
            self._run(address + 4, state)
        verdict = self._run(address, state)
        for place, size, _ in self._stores:
            for base, content in self._memory.items():
                if base <= place < base + len(content):
                    self._uc.mem_write(place, content[place - base : place - base + size])
        if verdict:
            return verdict
        _library.uc_reg_read_batch(self._uc._uch, self._ids, self._places, len(_REGISTERS))
        *core, cpsr, fpscr = self._values[:17]
        vector = [unit for double in self._values[17:49] for unit in (double & 0xFFFF_FFFF, double >> 32)]
        return Outcome(State(core, cpsr, fpscr, vector), self._values[49], self._loads, self._stores)

    def _run(self, address: int, state: State) -> str:
        doubles = [state.vector[n] | state.vector[n + 1] << 32 for n in range(0, 64, 2)]
        cpsr = state.cpsr | _THUMB if self._thumb else state.cpsr
        self._values[:] = [*state.core, cpsr, state.fpscr, *doubles, 0]
        _library.uc_reg_write_batch(self._uc._uch, self._ids, self._places, len(_REGISTERS) - 1)
        self._loads, self._stores = [], []
        try:
            self._uc.emu_start(address | self._thumb, address + 4, count=1)
        except unicorn.UcError as error:
            if error.errno in (unicorn.UC_ERR_INSN_INVALID, unicorn.UC_ERR_EXCEPTION):
                return "invalid"
            # A fetch that misses comes after the instruction: a branch did its work.
            if error.errno != unicorn.UC_ERR_FETCH_UNMAPPED:
                return "fault"
        return ""

    def _on_load(self, _uc: object, _access: int, address: int, size: int, _value: int, _data: object) -> None:
        self._loads.append((address, size))

    def _on_store(self, _uc: object, _access: int, address: int, size: int, value: int, _data: object) -> None:
        self._stores.append((address, size, value & (1 << 8 * size) - 1))


def _pairs(words: Sequence[int], instruction_set: InstructionSet) -> bytes:
    """Each word, filled up to four bytes, and its companion."""
    companion = _companion if instruction_set is InstructionSet.A32 else _companion_t32
    halves = ((word, companion(word) or _NOP[instruction_set]) for word in words)
    codes = (to_bytes(one, instruction_set) for pair in halves for one in pair)
    return b"".join(code if len(code) == 4 else code + _NARROW_NOP for code in codes)


def _companion(word: int) -> int | None:
    """The load-exclusive that belongs to a store-exclusive."""
    store_exclusive = word & 0x0F90_00F0 == 0x0180_0090
    return word | _LOAD_EXCLUSIVE if store_exclusive else None


def _companion_t32(word: int) -> int | None:
    """As `_companion`; loads the status register, and r0 or r1 as the second of a pair."""
    if word >> 20 == 0xE84:
        return word & 0xFFFF00FF | 0x00100F00 | (word >> 8 & 15) << 12
    if word >> 20 != 0xE8C or not word & 0x40:
        return None
    status, pair = word & 15, word >> 4 & 3 == 3
    second = (0 if status else 1) if pair else 15
    return word & 0xFFFF00F0 | 0x0010000F | status << 12 | second << 8
