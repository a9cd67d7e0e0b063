"""A second engine agrees: cases of the sweep as a program under qemu-arm."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from armprobe.codegen.assembler import Assembler
from armprobe.verification import qemu_user
from armprobe.verification.layout import SLOTS
from armprobe.verification.report import reproduction

pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-arm") and shutil.which("arm-none-eabi-gcc")), reason="needs qemu-arm and arm-none-eabi-gcc"
)
SEED = 2
PROGRAMS = 2


@pytest.mark.slow
def test_five_thousand_cases_agree_under_qemu() -> None:
    executed, different = 0, []
    for program in range(PROGRAMS):
        prepared = qemu_user.prepare(SEED, range(program * SLOTS, (program + 1) * SLOTS))
        executed += len(prepared)
        for item, runs in zip(prepared, qemu_user.run(prepared), strict=True):
            found = qemu_user.differences(item, *runs)
            if found:
                different.append(f"{item.case.row.name}: {', '.join(found)}; on Unicorn: {reproduction(item.case)}")

    assert not different, "\n".join(different)
    assert executed >= 5000


@pytest.mark.slow
def test_a_copy_that_does_nothing_differs_under_qemu() -> None:
    prepared = [item for item in qemu_user.prepare(SEED, range(600)) if not item.relocation.verbatim]
    broken = [replace(item, copy=way_back(item)) for item in prepared]
    results = zip(broken, qemu_user.run(broken), strict=True)

    found = [qemu_user.differences(item, *runs) for item, runs in results]
    assert sum(bool(names) for names in found) > len(broken) // 2


def test_a_program_has_one_case_a_slot() -> None:
    with pytest.raises(AssertionError):
        qemu_user.prepare(SEED, [0, SLOTS])


def way_back(item: qemu_user.Prepared) -> tuple[int, ...]:
    assembler = Assembler(item.copy_address)
    assembler.emit_jump(item.case.address + 4)
    return assembler.finish().words
