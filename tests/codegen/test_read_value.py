"""Target code that reads clocks, system registers and memory, executed under Unicorn."""

from __future__ import annotations

import pytest
from tests.codegen.test_handlers import CODE, COUNTER, DATA, SYMBOLS, Machine, state
from unicorn import arm_const

from armprobe.codegen.actions import Record
from armprobe.codegen.handlers import compile_actions
from armprobe.events.record import NAMED_TYPES, make_header, make_layout
from armprobe.events.ring import Ring, drain
from armprobe.events.source import Read
from armprobe.events.values import unpack
from armprobe.isa.reading import (
    CNTFRQ,
    CNTVCT,
    MPIDR,
    PROCESSOR,
    TPIDRPRW,
    Constant,
    CoreRegister,
    Load,
    Masked,
    Routine,
    width,
)

#: an identity that no emulator sets by itself
THREAD = 0x1234_5678
ROUTINE = CODE + 0xF00
SUPERVISOR, USER = 0x1D3, 0x10


def read(reading, *, architecture: int = 7, privileged: bool = False, code: bytes = b"", **registers: int) -> int:
    """The value that code records which was compiled for `reading`."""
    machine = Machine()
    machine.write(COUNTER, bytes.fromhex("8182838485868788"))
    machine.write(ROUTINE, code)
    machine.uc.reg_write(arm_const.UC_ARM_REG_CP_REG, (15, 0, 0, 13, 0, 0, 4, THREAD))
    layout = make_layout([("value", Read(reading, privileged), NAMED_TYPES[f"x{width(reading)}"])])
    body = compile_actions((Record(layout, machine.ring.capacity),), architecture=architecture)
    machine.run(body, state(**registers), SYMBOLS | {"header": make_header(1, layout.words), "routine": ROUTINE})
    (record,) = drain(Ring(machine.ring.address, machine.ring.capacity, 16), machine.read, machine.write).records
    return unpack(layout, record)["value"]


@pytest.mark.parametrize("architecture", [7, 6, 5, 4])
@pytest.mark.parametrize(
    ("size", "offset", "expected"),
    [(8, 0, 0x8887_8685_8483_8281), (4, 4, 0x8887_8685), (2, 2, 0x8483), (1, 7, 0x88)],
)
def test_memory_at_a_known_address_is_read_in_any_size(architecture, size, offset, expected):
    assert read(Load(Constant(COUNTER), offset, size), architecture=architecture) == expected


def test_memory_is_found_by_what_other_readings_say():
    # As Linux finds the task: from what lies at the end of the stack.
    found = Load(Masked(CoreRegister("r5"), 0xFFFFF000), COUNTER - DATA)
    assert read(found, r5=DATA + 0xABC) == 0x8483_8281


@pytest.mark.parametrize("architecture", [7, 6, 5, 4])
def test_a_routine_gives_64_bits(architecture):
    # mov r0, #1; mvn r1, #0; bx lr
    code = b"".join(word.to_bytes(4, "little") for word in (0xE3A00001, 0xE3E01000, 0xE12FFF1E))
    assert read(Routine("routine", ROUTINE), architecture=architecture, code=code) == 0xFFFF_FFFF_0000_0001


def test_system_registers_are_read_by_mrc_and_mrrc():
    assert read(TPIDRPRW, cpsr=SUPERVISOR) == THREAD
    assert read(MPIDR, cpsr=SUPERVISOR) == 0x8000_0000  # multiprocessing extensions, the only processor
    assert read(PROCESSOR, cpsr=SUPERVISOR) == 0
    assert read(CNTFRQ, cpsr=SUPERVISOR) == 62_500_000
    assert 0 < read(CNTVCT, cpsr=SUPERVISOR) < read(CNTVCT, cpsr=SUPERVISOR)


@pytest.mark.parametrize("reading", [TPIDRPRW, CNTVCT, Load(Constant(COUNTER), 0, 8)])
def test_user_mode_does_not_read_what_is_for_privileged_code(reading):
    assert read(reading, privileged=True, cpsr=SUPERVISOR) != 0
    assert read(reading, privileged=True, cpsr=USER) == 0
