"""A program on a board that copies its code with branches of ours in it: nothing but the program sees the fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.probes.interrupted import Notes
from tests.probes.test_copies import SITE, START, WORDS
from tests.targets.qemu_board import SLOTS, board, raw

from armprobe import Image, Session, StopReason
from armprobe.isa.branch import branch_word
from armprobe.symbols.table import SymbolTable
from armprobe.targets.gdbremote import GdbRemoteTarget

#: where the code that is copied stands; SP is not set, as all registers are free where the probes are
FUNCTION, DONE, HANDLER = START + 0x20, START + 0x44, 0x9000
FAR, NEAR = 0x80_0100, START + 0x1100
pytestmark = pytest.mark.slow


@contextmanager
def program(path: Path, copy: int, *, at_function: int = WORDS[8]) -> Iterator[tuple[GdbRemoteTarget, Image]]:
    """One that goes to a copy of FUNCTION at `copy`, at the end of which it comes back to DONE; RAM is 16 MiB."""
    back = branch_word(copy + DONE - FUNCTION, DONE)
    words = [*WORDS[:8], at_function, *WORDS[9:-2], 0xEAFFFFFE, copy]
    words[2] = 0xE3A02009  # mov r2, #9: the end is not copied
    with board("-m", "16", *raw(words, path / "code.bin", base=START)) as running:
        target = GdbRemoteTarget.connect(running.address)
        target.write_memory(copy + DONE - FUNCTION, back.to_bytes(4, "little"))
        for vector in (4, 12):
            target.write_memory(vector, branch_word(vector, HANDLER).to_bytes(4, "little"))
        # The program's own handler of exceptions: on behind the instruction.
        target.write_memory(HANDLER, 0xE1B0F00E.to_bytes(4, "little"))  # movs pc, lr
        yield target, Image.from_words(words, base=START)
        target.detach()


def start(target: GdbRemoteTarget, image: Image) -> Session:
    return Session(target, symbols=SymbolTable.from_image(image), slots=[SLOTS], image=image)


def check_message(message: str, copy: int, sites: tuple[int, ...]) -> None:
    assert message.startswith("the program copied code while probes were in it: 0x")
    assert message.endswith("; probe code that moves itself after it has moved")
    found = [f"0x{site - FUNCTION + copy:08x} holds a copy of the branch at 0x{site:08x}" for site in sites]
    assert any(text in message for text in found), message


@pytest.mark.parametrize("sites", [(SITE - 8, SITE, SITE + 8), (SITE,)], ids=["three", "one"])
def test_the_run_ends_with_the_reason_where_a_copied_branch_has_led_astray(tmp_path: Path, sites: tuple[int, ...]):
    """It led to zeros, and through them to what is no instruction."""
    with program(tmp_path, FAR) as (target, image):
        target.write_memory(FAR + 0x1F8000, b"\xff" * 0x8000)
        with start(target, image) as session:
            session.count_all(sites)
            session.optimize_now()
            stop = session.run(until=DONE)
            assert stop.reason is StopReason.FAULT
            check_message(stop.message, FAR, sites)
        assert not target.own_breakpoints.others(None)
        assert session.in_place == ()


@pytest.mark.parametrize("copy", [FAR, NEAR], ids=["to no code", "to our own memory"])
@pytest.mark.parametrize("sites", [(SITE - 8, SITE, SITE + 8), (SITE,)], ids=["three", "one"])
@pytest.mark.parametrize("journal", [True, False])
def test_copies_are_mended_where_the_first_led_to_a_fault_at_once_and_the_program_goes_on(
    tmp_path: Path, copy: int, sites: tuple[int, ...], journal: bool
):
    with program(tmp_path, copy) as (target, image):
        target.write_memory(FAR + 0x1E0000, b"\xff" * 0x20000)
        before = target.read_memory(0, 0x20)
        expected = target.read_registers()
        expected.r4, expected.r5, expected.r6, expected.r7, expected.r8 = 1, 2, 3, 4, 5
        expected.r9, expected.r10, expected.r11, expected.r12 = 6, 7, 8, 9
        notes = Notes()
        target.journal = notes if journal else None
        with start(target, image) as session:
            counted = session.count_all([START, *sites])
            session.optimize_now()
            assert session.run(until=DONE).reason is StopReason.ADDRESS
            assert sorted(session.copies) == [(site, site - FUNCTION + copy) for site in sites]
            assert [probe.hits for probe in counted] == [1] + [0] * len(sites)
            found = target.read_registers()
            assert (found.values[4:13], found.cpsr & 0xFF) == (expected.values[4:13], expected.cpsr & 0xFF)
            assert not [at for at in notes.left.words if copy <= at < copy + 0x100]
        code = image.segments[0].data[FUNCTION - START : DONE - 4 - START]
        assert target.read_memory(copy, len(code)) == code
        assert target.read_memory(0, 0x20) == before
        assert not target.own_breakpoints.others(None)
        assert session.in_place == ()
        assert not notes.left


def test_a_program_that_runs_through_zeros_is_found_astray_when_it_is_looked_at(tmp_path: Path):
    """The board has no faults: beyond its memory are zeros for ever."""
    with (
        program(tmp_path, FAR) as (target, image),
        start(target, image) as session,
    ):
        session.count(SITE)
        session.optimize_now()
        stop = session.run(between=lambda: None, every=0.2)
        assert stop.reason is StopReason.FAULT
        check_message(stop.message, FAR, (SITE,))


def test_exceptions_that_are_the_programs_own_stop_it_once_and_it_goes_on(tmp_path: Path):
    with program(tmp_path, FAR, at_function=0xE7F000F0) as (target, image):
        with start(target, image) as session:
            calls = session.count(START)
            session.optimize_now()
            for number in range(1, 4):
                registers = target.read_registers()
                registers.pc = START
                target.write_registers(registers)
                assert session.run(until=DONE).reason is StopReason.ADDRESS
                assert calls.hits == number
        assert target.read_registers().r5 == 6
