"""Debian's U-Boot on QEMU's board, behind its GDB stub, probed from its first instruction on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.integration.libraries import fetch
from tests.targets import uboot
from tests.targets.qemu_board import Board, board

from armprobe import Image, Region, Session, StopReason
from armprobe.symbols.table import SymbolTable
from armprobe.targets.gdbremote import GdbRemoteTarget

TYPED = b" \nversion\nbdinfo\necho hello\ncrc32 40000000 1000\nsetexpr b 5 + 7\necho $b\npoweroff\n"
SLOTS = Region(0x46000000, 0x46100000, name="slots")
#: called by U-Boot in flash, and once more where it moved itself to
EARLY = "serial_pl01x.of_to_plat"
#: asked whether a key was pressed, when the serial port is set up for good: what comes before may get lost
READY = "serial_pl01x.pending"
LAST = "do_poweroff"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image() -> Image:
    fetch("u-boot-qemu:all")
    return uboot.load()


@contextmanager
def powered_on() -> Iterator[tuple[Board, GdbRemoteTarget]]:
    firmware = str(uboot.DIRECTORY / "u-boot.bin")
    with board("-m", "128", "-cpu", "cortex-a15", "-bios", firmware, machine="virt") as running:
        target = GdbRemoteTarget.connect(running.address)
        yield running, target
        target.detach()


@pytest.fixture(scope="module")
def unprobed(image: Image) -> bytes:
    moved = SymbolTable.from_image(image).rebased(uboot.RELOCATION)
    with powered_on() as (running, target), Session(target, symbols=moved) as session:
        assert session.run(until=READY).reason is StopReason.ADDRESS
        running.serial.sendall(TYPED)
        assert session.run(until=LAST).reason is StopReason.ADDRESS
        return running.printed()


def test_traps_in_flash_are_not_copied_when_it_moves_and_its_functions_are_counted_then(image: Image, unprobed: bytes):
    in_flash = SymbolTable.from_image(image)
    moved = in_flash.rebased(uboot.RELOCATION)
    with powered_on() as (running, target):
        flash = target.read_memory(0, image.segments[0].end)
        first: list[int] = []
        with Session(target, symbols=in_flash, slots=[SLOTS]) as session:
            # Some of what its tables name is no code.
            names = [symbol.name for symbol in image.symbols if not session.explain(symbol.address).refused]
            session.optimization = False
            session.probe(0, lambda hit: first.append(hit.regs.pc))
            early = [session.probe(name, lambda _: None) for name in names]
            stop = session.run(until=uboot.RELOCATION + session.locate(EARLY))
            assert stop.reason is StopReason.ADDRESS
            assert first == [0]
            hits = {probe.location: probe.hits for probe in early}
            assert hits[EARLY] == 1
            assert hits["serial_pl01x.putc"] > 50
        assert target.read_memory(0, len(flash)) == flash
        with Session(target, symbols=moved, slots=[SLOTS]) as session:
            counters = session.count_all(names)
            printed = session.define("p:console serial_pl01x.putc byte=%r1:u8")
            assert session.optimize_now() == len({probe.address for probe in counters})
            already = running.printed()
            assert session.run(until=READY).reason is StopReason.ADDRESS
            running.serial.sendall(TYPED)
            assert session.run(until=LAST).reason is StopReason.ADDRESS
            events = bytes(event.values["byte"] for event in session.events())
            hits = {probe.location: probe.hits for probe in counters}
            assert session.lost(printed) == 0
        assert (hits["do_version"], hits["do_echo"], hits["do_crc32" if "do_crc32" in hits else "do_version"]) == (
            1,
            2,
            1,
        )
        assert hits["serial_pl01x.putc"] >= len(events)
        output = already + running.printed()
    assert output == unprobed
    assert output.endswith(events)
    assert b"hello" in events
