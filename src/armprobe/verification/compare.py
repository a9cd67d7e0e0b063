"""Run one case unprobed and probed, and name every difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from armprobe.isa.insn import REGISTER_NAMES, condition_holds
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.itstate import to_psr
from armprobe.isa.relocate import relocate, relocate_run
from armprobe.isa.steps import Relocation
from armprobe.verification.cases import Case
from armprobe.verification.copies import Copy, make_copy
from armprobe.verification.layout import AFTER, CODE, CODE_SIZE, COPIES, COPY_SIZE, DATA, REGION_SIZE, STACK
from armprobe.verification.machine import End, Machine, Memory, new_memory
from armprobe.verification.states import SP

Relocate = Callable[..., Relocation]
RelocateRun = Callable[..., Sequence[Relocation]]
UNDEFINED_HALF = b"\x00\xde"  # udf #0 in T32
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

    copy: Copy
    unprobed: End
    probed: End
    interrupted: bool
    completed: bool
    undefined: bool
    differences: tuple[str, ...]


class Comparison:
    """Two processors with the same memory: one runs the instruction where it stands, the other its copy."""

    def __init__(self, *, relocate: Relocate = relocate, relocate_run: RelocateRun = relocate_run) -> None:
        """`relocate` and `relocate_run` are replaced by tests that show what a broken one leads to."""
        self._relocate, self._relocate_run = relocate, relocate_run
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
        copy = make_copy(self._plan(case), COPIES + case.slot * COPY_SIZE)
        original = case.code + AFTER[case.row.instruction_set]
        unused = self._before[0].get(case.address, len(original))
        self._before[0].put(case.address, original)
        self._plain.write_code(case.address, original)
        self._probed.write_code(copy.address, copy.code)

        taken = condition_holds(case.insn.cond, case.state.cpsr)
        unprobed = self._plain.run_in_place(case)
        failed = bool(unprobed.error) and unprobed.error not in _FETCH_ERRORS
        entry = case.address if case.row.instruction_set is InstructionSet.A32 else copy.address
        # A copy that is the instruction itself has no steps to come between.
        for interrupted in (False, True) if taken and not copy.verbatim and not failed else (False,):
            self._probed.write_code(case.address, original)
            self._probed.write_code(case.site_address, patch(case, copy))
            probed = self._probed.run(case.state, entry, within=copy.places, interrupted=interrupted)
            self._probed.code.put(case.site_address, case.insns[case.site].code)
            differences = register_differences(copy, unprobed, probed, failed=failed)
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
            copy,
            unprobed,
            probed,
            interrupted,
            completed=taken and not failed,
            undefined=unprobed.error in _UNDEFINED_ERRORS,
            differences=tuple(differences),
        )

    def _plan(self, case: Case) -> Sequence[Relocation]:
        assert case.insn is not None
        if len(case.insns) == 1:
            return (self._relocate(case.insn, case.address),)
        return self._relocate_run(case.insns[case.site :], case.site_address)

    def reads_itself(self, case: Case) -> bool:
        """Whether the instruction of a case accesses its own word as data, where on a target the probe stands."""
        assert case.insn is not None
        self._plain.write_code(case.address, case.code + AFTER[case.row.instruction_set])
        accesses = self._plain.accesses(case)
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


def patch(case: Case, copy: Copy) -> bytes:
    """What stands at the site while the copy is executed.

    A32: the branch, which tests the condition. T32: nothing that leads to the copy, as that is not what is proven.
    """
    if case.row.instruction_set is InstructionSet.T32:
        return UNDEFINED_HALF * (case.insns[case.site].length // 2)
    branch = case.cond << 28 | 0x0A000000 | (copy.address - case.address - 8) // 4 & 0xFFFFFF
    return branch.to_bytes(4, "little")


def register_differences(copy: Copy, unprobed: End, probed: End, *, failed: bool) -> list[str]:
    """Name the registers that differ; `failed` says that both runs faulted."""
    excused, vectors = copy.excused(probed.pc) if failed else (0, 0)
    probed = replace(probed, pc=copy.original(probed.pc))
    if failed:  # the copy of an instruction in an IT block has another one, or none
        unprobed, probed = (replace(end, cpsr=end.cpsr & ~to_psr(0xFF)) for end in (unprobed, probed))
    if (unprobed.core, unprobed.cpsr, unprobed.fpscr, unprobed.vector, unprobed.pc, unprobed.error) == (
        probed.core, probed.cpsr, probed.fpscr, probed.vector, probed.pc, probed.error
    ) and unprobed.access == probed.access:  # fmt: skip
        return []
    differences = [
        REGISTER_NAMES[n]
        for n, (one, other) in enumerate(zip(unprobed.core, probed.core, strict=True))
        if one != other and not excused >> n & 1
    ]
    differences += [
        name for name in ("pc", "cpsr", "fpscr", "error", "access") if getattr(unprobed, name) != getattr(probed, name)
    ]
    differences += [
        f"d{n}"
        for n in range(32)
        if unprobed.vector[8 * n : 8 * n + 8] != probed.vector[8 * n : 8 * n + 8] and not vectors >> 2 * n & 3
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
