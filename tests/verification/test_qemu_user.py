"""A second engine agrees: cases of the sweep as a program under qemu-arm."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from armprobe.isa.instruction_set import InstructionSet
from armprobe.verification import qemu_user
from armprobe.verification.copies import Copy, make_copy
from armprobe.verification.layout import slots
from armprobe.verification.report import reproduction

pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-arm") and shutil.which("arm-none-eabi-gcc")), reason="needs qemu-arm and arm-none-eabi-gcc"
)
SEED = 2
A32, T32 = InstructionSet


@pytest.mark.slow
@pytest.mark.parametrize(("instruction_set", "programs", "enough"), [(A32, 2, 5000), (T32, 4, 5000)])
def test_thousands_of_cases_agree_under_qemu(instruction_set: InstructionSet, programs: int, enough: int) -> None:
    executed, different = 0, []
    count = slots(instruction_set)
    for program in range(programs):
        prepared = qemu_user.prepare(SEED, range(program * count, (program + 1) * count), instruction_set)
        executed += len(prepared)
        for item, runs in zip(prepared, qemu_user.run(prepared), strict=True):
            found = qemu_user.differences(item, *runs)
            if found:
                different.append(f"{item.case.row.name}: {', '.join(found)}; on Unicorn: {reproduction(item.case)}")

    assert not different, "\n".join(different)
    assert executed >= enough


@pytest.mark.slow
@pytest.mark.parametrize("instruction_set", [A32, T32])
def test_a_copy_that_does_nothing_differs_under_qemu(instruction_set: InstructionSet) -> None:
    prepared = [item for item in qemu_user.prepare(SEED, range(800), instruction_set) if not item.copy.verbatim]
    broken = [replace(item, copy=way_back(item)) for item in prepared]
    results = zip(broken, qemu_user.run(broken), strict=True)

    found = [qemu_user.differences(item, *runs) for item, runs in results]
    assert sum(bool(names) for names in found) > len(broken) // 2


def test_a_program_has_one_case_a_slot() -> None:
    with pytest.raises(AssertionError):
        qemu_user.prepare(SEED, [0, slots(A32)])


def way_back(item: qemu_user.Prepared) -> Copy:
    nothing = [replace(relocation, steps=(), falls_through=True) for _, relocation in item.copy.parts]
    return make_copy(nothing, item.copy.address)
