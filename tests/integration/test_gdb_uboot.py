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
from armprobe.targets.unicorn import UnicornTarget
from armprobe.targets.virt import virt

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


def commands(session: Session, image: Image) -> list[dict[str, object]]:
    """What was typed, by the arguments of the functions that do it: the command's table, flags, argc, argv."""
    for name in sorted({symbol.name for symbol in image.symbols if symbol.name.startswith("do_")}):
        if not session.explain(session.locate(name)).refused:
            session.define(
                f"p:{name} {name} name=+0(+0(%r0)):string count=%r2:s32 flag=%r1:x32 first=+0(+0(%r3)):string "
                "second=+0(+4(%r3)):string letters=+0(+4(%r3)):u8[4]"
            )
    session.optimize_now()
    assert session.run(until=LAST).reason is StopReason.ADDRESS
    return [dict(event.values) for event in session.events()]


def test_strings_behind_pointers_are_read_with_mmu_and_caches_on_as_in_the_emulator(image: Image):
    moved = SymbolTable.from_image(image).rebased(uboot.RELOCATION)
    emulator = UnicornTarget.from_image(image, machine=virt(lambda _: None, console_input=TYPED))
    (early,) = moved.named(EARLY)
    assert emulator.run(lambda _: False, until=early.address).reason is StopReason.ADDRESS
    with Session(emulator, symbols=moved, slots=[SLOTS]) as session:
        expected = commands(session, image)
    with (
        powered_on() as (running, target),
        Session(target, symbols=moved, slots=[SLOTS], image=image.rebased(uboot.RELOCATION)) as session,
    ):
        assert session.run(until=READY).reason is StopReason.ADDRESS
        running.serial.sendall(TYPED)
        assert commands(session, image) == expected
        # By its translation tables: it has its flash as memory that is not to be executed.
        assert [(region.name, region.executable) for region in target.regions] == [
            ("flash", False), ("flash", False), ("ram", True),
        ]  # fmt: skip
        session.close()
        assert session.in_place == ()
    assert [(values["first"], values["second"]) for values in expected if values["count"] == 2] == [
        ("echo", "hello"), ("echo", "c"),
    ]  # fmt: skip
