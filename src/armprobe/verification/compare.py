"""Run one case unprobed and probed, and name every difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from armprobe.codegen.assembler import Assembler
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NAMES, condition_holds
from armprobe.isa.relocate import relocate
from armprobe.isa.steps import Constant, Relocation, Word
from armprobe.verification.cases import SP, Case
from armprobe.verification.layout import CODE, CODE_SIZE, COPIES, COPY_SIZE, DATA, REGION_SIZE, SLOTS, STACK, STOP_WORD
from armprobe.verification.machine import End, Machine, Memory, new_memory

Relocate = Callable[..., Relocation]
#: Unicorn's errors after which the instruction is done, and only its successor can't be fetched
_FETCH_ERRORS = frozenset({8, 14})
#: UC_ERR_INSN_INVALID, UC_ERR_EXCEPTION
_UNDEFINED_ERRORS = frozenset({10, 21})


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both runs of a case: `differences` is empty when nothing tells them apart.

    `interrupted`: the probed run is the one with an interrupt before every step. `completed`: the instruction was
    executed: its condition held, and it did not fault. `undefined`: the processor does not know it.
    """

    relocation: Relocation
    copy_address: int
    copy: tuple[int, ...]
    unprobed: End
    probed: End
    interrupted: bool
    completed: bool
    undefined: bool
    differences: tuple[str, ...]


class Comparison:
    """Two processors with the same memory: one runs the instruction where it stands, the other its copy."""

    def __init__(self, *, relocate: Relocate = relocate) -> None:
        """`relocate` is replaced by tests that show what a broken one leads to."""
        self._relocate = relocate
        self._plain, self._probed = Machine(), Machine()
        random = Random(1)  # noqa: S311  the same memory for all cases
        #: what memory holds before each case
        self._before = [new_memory(base, size) for base, size in _REGIONS]
        for memory in self._before:
            memory.put(memory.base, random.randbytes(memory.size))
        for machine in (self._plain, self._probed):
            for memory, content in zip(machine.memories, self._before, strict=True):
                memory.copy_from(content)

    def run(self, case: Case) -> Outcome:
        """Execute a case both ways. Raises Refused when its instruction is not relocated."""
        assert case.insn is not None
        relocation = self._relocate(case.insn, case.address)
        slot = case.number % SLOTS
        copy_address = COPIES + slot * COPY_SIZE
        copy = assemble_copy(relocation, copy_address)
        branch = case.cond << 28 | 0x0A000000 | (copy_address - case.address - 8) // 4 & 0xFFFFFF
        original = _bytes(case.insn.word, STOP_WORD)
        unused = self._before[0].get(case.address, len(original))
        self._before[0].put(case.address, original)
        self._plain.write_code(case.address, original)
        self._probed.write_code(copy_address, _bytes(*copy))

        taken = condition_holds(case.insn.cond, case.state.cpsr)
        unprobed = self._plain.run(case.state, case.address)
        failed = bool(unprobed.error) and unprobed.error not in _FETCH_ERRORS
        within = range(copy_address, copy_address + 4 * len(copy))
        # A copy that is the instruction itself has no steps to come between.
        for interrupted in (False, True) if taken and not relocation.verbatim and not failed else (False,):
            self._probed.write_code(case.address, _bytes(branch, STOP_WORD))
            probed = self._probed.run(case.state, case.address, copy=within, interrupted=interrupted)
            self._probed.code.put(case.address, _bytes(case.insn.word))
            pc = original_pc(relocation, probed.pc, copy_address, len(copy))
            differences = register_differences(relocation, unprobed, probed, pc=pc, failed=failed)
            differences += _astray(unprobed, probed, case.state.core[SP])
            # Once an interrupt came, what the instruction leaves below SP may be gone.
            dead = _clamp(unprobed.core[SP], case.state.core[SP]) if interrupted else STACK
            differences += self._memory_differences(case.state.core[SP], dead)
            if differences:
                break
        self._restore()
        # The next case finds the memory that it would find alone.
        for memory in (self._before[0], self._plain.code, self._probed.code):
            memory.put(case.address, unused)
        return Outcome(
            relocation,
            copy_address,
            copy,
            unprobed,
            probed,
            interrupted,
            completed=taken and not failed,
            undefined=unprobed.error in _UNDEFINED_ERRORS,
            differences=tuple(differences),
        )

    def reads_itself(self, case: Case) -> bool:
        """Whether the instruction of a case accesses its own word as data, where on a target the probe stands."""
        assert case.insn is not None
        original = _bytes(case.insn.word, STOP_WORD)
        self._plain.write_code(case.address, original)
        accesses = self._plain.accesses(case.state, case.address, len(original) - 4)
        self._restore()
        return accesses

    def _memory_differences(self, sp: int, dead: int) -> list[str]:
        """Name the memory that differs. Below `dead` anything may; below `sp`, what the unprobed run wrote may not."""
        differences = []
        for before, plain, probed in zip(self._before, self._plain.memories, self._probed.memories, strict=True):
            if not plain.same_as(probed):
                differences += _byte_differences(before, plain, probed, sp, dead)
            if not probed.same_as(before):
                probed.copy_from(before)
        return differences

    def _restore(self) -> None:
        """Put back what the unprobed run changed."""
        for before, plain in zip(self._before, self._plain.memories, strict=True):
            if not plain.same_as(before):
                plain.copy_from(before)


_REGIONS = ((CODE, CODE_SIZE), (DATA, REGION_SIZE), (STACK, REGION_SIZE))


def assemble_copy(relocation: Relocation, address: int) -> tuple[int, ...]:
    """The words of the out-of-line copy at `address` with its way back."""
    assembler = Assembler(address)
    assembler.emit_steps(relocation.steps)
    if relocation.falls_through:
        assembler.emit_jump(relocation.address + 4)
    return assembler.finish().words


def scratch_registers(relocation: Relocation) -> int:
    """The registers that may hold something of ours when a step of the copy faults."""
    mask = 0
    for step in relocation.steps:
        if isinstance(step, Word):
            mask |= decode(step.word).usage.writes
        elif isinstance(step, Constant):
            mask |= 1 << step.register
    return mask


def original_pc(relocation: Relocation, pc: int, copy_address: int, length: int) -> int:
    """Where the program is when PC may be in the copy, which has `length` words."""
    if not copy_address <= pc <= copy_address + 4 * length:
        return pc
    return relocation.address + (pc - copy_address if relocation.verbatim else 0)


def register_differences(relocation: Relocation, unprobed: End, probed: End, *, pc: int, failed: bool) -> list[str]:
    """Name the registers that differ; `pc` is the probed run's original one, `failed` says that both runs faulted."""
    excused = scratch_registers(relocation) if failed and not relocation.verbatim else 0
    if (unprobed.core, unprobed.cpsr, unprobed.fpscr, unprobed.vector, unprobed.pc, unprobed.error) == (
        probed.core, probed.cpsr, probed.fpscr, probed.vector, pc, probed.error
    ) and unprobed.access == probed.access:  # fmt: skip
        return []
    differences = [
        REGISTER_NAMES[n]
        for n, (one, other) in enumerate(zip(unprobed.core, probed.core, strict=True))
        if one != other and not excused >> n & 1
    ]
    differences += ["pc"] if unprobed.pc != pc else []
    differences += [
        name for name in ("cpsr", "fpscr", "error", "access") if getattr(unprobed, name) != getattr(probed, name)
    ]
    differences += [
        f"d{n}" for n in range(32) if unprobed.vector[8 * n : 8 * n + 8] != probed.vector[8 * n : 8 * n + 8]
    ]
    return differences


def _clamp(sp: int, otherwise: int) -> int:
    return sp if STACK <= sp <= STACK + REGION_SIZE else otherwise


def _astray(unprobed: End, probed: End, sp: int) -> list[str]:
    """SP may go down from where it starts, or be what the instruction makes of it: between two steps as well."""
    wild = [place for place in probed.stack_pointers if not sp - REGION_SIZE // 2 < place <= sp]
    return ["sp between steps"] if any(place != unprobed.core[SP] for place in wild) else []


def _byte_differences(before: Memory, plain: Memory, probed: Memory, sp: int, dead: int) -> list[str]:
    original, one, other = (memory.get(memory.base, memory.size) for memory in (before, plain, probed))
    stack = before.base == STACK
    differences = []
    for start in range(dead - STACK & ~63 if stack else 0, before.size, 64):
        if one[start : start + 64] == other[start : start + 64]:
            continue
        for at in range(start, start + 64):
            place = before.base + at
            free = stack and (place < dead or (place < sp and one[at] == original[at]))
            if one[at] != other[at] and not free:
                differences.append(f"[0x{place:08x}]")
    return differences


def _bytes(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)
