"""Handlers that read memory on boards in QEMU: as in the embedded emulator, by the MMU as it is, and never a device."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from tests.probes.interrupted import Notes
from tests.targets.contract import BASE
from tests.targets.qemu_board import SLOTS, Board, board, raw

from armprobe import Image, Region, Session, StopReason
from armprobe.errors import NoMemory, Refused, UsageError
from armprobe.probes.recovery import recover
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Registers
from armprobe.targets.gdbremote import GdbRemoteTarget

#: r8 is TTBCR, r12 TTBR0, r9 what SCTLR gets in addition, r10 PAR, r7 the number of addresses at r4
WORDS = (
    0xE3A0D803,  # 8000 mov sp, #0x30000
    0xEE028F50,  # 8004 mcr p15, 0, r8, c2, c0, 2
    0xEE02CF10,  # 8008 mcr p15, 0, r12, c2, c0, 0
    0xE3A00001,  # 800c mov r0, #1
    0xEE030F10,  # 8010 mcr p15, 0, r0, c3, c0, 0
    0xE3A00044,  # 8014 mov r0, #0x44
    0xEE0A0F12,  # 8018 mcr p15, 0, r0, c10, c2, 0
    0xEE080F17,  # 801c mcr p15, 0, r0, c8, c7, 0
    0xEE110F10,  # 8020 mrc p15, 0, r0, c1, c0, 0
    0xE1800009,  # 8024 orr r0, r0, r9
    0xEE010F10,  # 8028 mcr p15, 0, r0, c1, c0, 0
    0xE1A00000,  # 802c mov r0, r0
    0xE4940004,  # 8030 ldr r0, [r4], #4      loop
    0xEE07AF14,  # 8034 mcr p15, 0, r10, c7, c4, 0
    0xE2855001,  # 8038 add r5, r5, #1        site
    0xEE176F14,  # 803c mrc p15, 0, r6, c7, c4, 0
    0xE156000A,  # 8040 cmp r6, r10
    0x1A000002,  # 8044 bne lost
    0xE2577001,  # 8048 subs r7, r7, #1
    0x1AFFFFF7,  # 804c bne loop
    0xEAFFFFFE,  # 8050 b .                   done
    0xEAFFFFFE,  # 8054 b .                   lost
)
LOOP, SITE, DONE, LOST = (BASE + offset for offset in (0x30, 0x38, 0x50, 0x54))
IMAGE = Image.from_words(WORDS, base=BASE)
ADDRESSES, TABLES, TEXT = 0x9000, 0x10000, 0x300100
PAR = 0x12345000
DEFINITION = f"p:read {SITE:#x} address=%r0 word=+0(%r0):u32 bytes=+1(%r0):u8[3] text=+0(%r0):string"
#: the serial port of the board: its first word is what was received, and reading takes it away
SERIAL, SERIAL_FLAGS, RECEIVE_EMPTY = 0x1000_9000, 0x1000_9018, 1 << 4
MIB = 1 << 20
pytestmark = pytest.mark.slow


@contextmanager
def machine(path: Path, cpu: str, *options: str) -> Iterator[tuple[Board, GdbRemoteTarget]]:
    code = raw(WORDS, path / "code.bin", base=BASE)
    with board(*code, "-m", "32", "-cpu", cpu, *options) as running:
        target = GdbRemoteTarget.connect(running.address)
        yield running, target
        target.detach()


def begin(target: GdbRemoteTarget, addresses: list[int], **registers: int) -> None:
    """Let the program be about to set up its MMU. A fault comes to LOST."""
    for vector in (4, 12, 16):
        target.write_memory(vector, struct.pack("<I", 0xEA000000 | (LOST - vector - 8) >> 2 & 0xFFFFFF))
    target.write_memory(TEXT, b"a text of firmware\0")
    target.write_memory(ADDRESSES, struct.pack(f"<{len(addresses)}I", *addresses))
    values = Registers([0] * 15 + [BASE], 0x1D3)
    for name, value in {"r4": ADDRESSES, "r7": len(addresses), "r10": PAR, **registers}.items():
        setattr(values, name, value)
    target.write_registers(values)


def texts(target: GdbRemoteTarget) -> list[tuple[int, str | None]]:
    """What a probe at SITE records of each address, up to the end of the program."""
    with Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS]) as session:
        tracer = session.define(DEFINITION)
        session.optimize_now()
        assert tracer.state == "branch"
        assert session.run(until=DONE).reason is StopReason.ADDRESS
        events = [event.values for event in session.events()]
    for values in events:
        assert (values["word"] is None) == (values["bytes"] is None)
        if values["text"]:
            data = values["text"].encode()
            assert (values["word"], bytes(values["bytes"])) == (int.from_bytes(data[:4], "little"), data[1:4])
    return [
        (values["address"], values["text"] if values["text"] or values["word"] is None else "cut") for values in events
    ]


def short_tables(target: GdbRemoteTarget) -> dict[str, int]:
    """Sections: the first 8 MiB where they are, and others; returns registers."""
    entries = [0] * 4096
    for number in range(8):
        entries[number] = number * MIB | 0x402
    entries[0x800] = 0x300000 | 0x402  # elsewhere
    entries[0x900] = SERIAL & -MIB | 0x402  # a device
    entries[0xA00] = 0x300000 | 0x002  # no access
    entries[0xB00] = 0x1F000000 | 0x402  # no memory
    entries[0xC00] = 0x300000 | 0x422  # of a domain that is off
    for number in range(16):
        entries[0xD00 + number] = 0x01000000 | 1 << 18 | 0x402  # a supersection
    entries[0xE00] = TABLES + 0x4000 | 1
    pages = [0] * 256
    pages[0], pages[2] = 0x300000 | 0x12, 0x301000 | 0x12
    target.write_memory(TABLES, struct.pack("<4096I", *entries) + struct.pack("<256I", *pages))
    target.write_memory(0x300FFC, b"1234")
    target.write_memory(0x01300100, b"super\0")
    return {"r9": 1, "r12": TABLES}


def long_tables(target: GdbRemoteTarget) -> dict[str, int]:
    first = [TABLES + 0x1000 | 3, 0, TABLES + 0x2000 | 3, 0]
    low = [number * 2 * MIB | 0x701 for number in range(4)] + [0] * 508
    high = [0] * 512
    high[0] = 0x200000 | 0x701
    high[128] = SERIAL & -(2 * MIB) | 0x701
    high[256] = 0x300000 | 0x001  # never accessed
    high[384] = 1 << 32 | 0x701  # above 4 GiB
    target.write_memory(TABLES, struct.pack("<4Q", *first))
    target.write_memory(TABLES + 0x1000, struct.pack("<512Q", *low) + struct.pack("<512Q", *high))
    return {"r8": 1 << 31, "r9": 1, "r12": TABLES}


SHORT = {
    TEXT: "a text of firmware", TEXT + 1: " text of firmware", 0x80000100: "a text of firmware", 0x90009018: None,
    0xA0000100: None, 0xB0000100: None, 0xC0000100: None, 0xD0300100: "super", 0x01300100: None, SERIAL: None,
    0xE0000100: "a text of firmware", 0xE0001100: None, 0xE0000FFC: "cut", 0xFFFFFFFC: None,
}  # fmt: skip
LONG = {
    TEXT: "a text of firmware", 0x80100100: "a text of firmware", 0x90009018: None, 0xA0000100: None,
    0xB0000100: None, 0xC0000000: None, 0x01300100: None,
}  # fmt: skip
OFF = {
    TEXT: "a text of firmware", TEXT + 3: "ext of firmware", 0x80000100: None, SERIAL_FLAGS: None, 0x1F000000: None,
    0x02000000: None, 0xFFFFFFFC: None, 0x01FFFFFC: "cut",
}  # fmt: skip


@pytest.mark.parametrize(
    ("cpu", "tables", "expected"),
    [
        ("cortex-a8", short_tables, SHORT),
        ("cortex-a15", short_tables, SHORT),
        ("cortex-a15", long_tables, LONG),
        ("cortex-a9", None, OFF),
        ("cortex-a15", None, OFF),
    ],
)
def test_handlers_read_what_the_processor_would_and_no_address_makes_them_fault(
    tmp_path: Path,
    cpu: str,
    tables: Callable[[GdbRemoteTarget], dict[str, int]] | None,
    expected: dict[int, str | None],
):
    with machine(tmp_path, cpu) as (_, target):
        target.write_memory(0x01FFFFFC, b"\x01\x02\x03\x04")
        begin(target, list(expected), **({} if tables is None else tables(target)))
        assert dict(texts(target)) == expected
        # Attached to it as it is now.
        registers = target.read_registers()
        registers.pc, registers.r4, registers.r7 = LOOP, ADDRESSES, len(expected)
        target.write_registers(registers)
        assert dict(texts(target)) == expected


def test_a_device_is_never_read_also_not_by_handlers_on_the_host(tmp_path: Path):
    """What the serial port received is there until it is read."""
    with machine(tmp_path, "cortex-a8") as (running, target):
        running.serial.sendall(b"x")
        while target.read_memory(SERIAL_FLAGS, 1)[0] & RECEIVE_EMPTY:
            pass
        begin(target, [SERIAL, SERIAL + 1, SERIAL - 2, TEXT])
        with Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], image=IMAGE) as session:
            definition = session.define(f"p {SITE:#x} word=+0(%r0):u32 byte=+0(%r0):u8 text=+0(%r0):string")
            both = [session.define(f"p:chosen {SITE:#x} first=+0(%r0):u8 if first == 97")]
            seen: list[int] = []

            def look(r0):
                if u8(r0) == 97:  # noqa: F821  a word of the language
                    emit(found=r0)  # noqa: F821

            both += [session.probe(SITE, look, compiled=True), session.probe(SITE, session.on_host(look))]
            session.probe(SITE, lambda hit: seen.append(hit.regs.r0), when=lambda r0: u8(r0) == 97)  # noqa: F821
            assert session.run(until=DONE).reason is StopReason.ADDRESS
            events = [(event.probe, event.values) for event in session.events()]
        found = [values["word"] for probe, values in events if probe is definition]
        assert found == [None, None, None, int.from_bytes(b"a te", "little")]
        assert seen == [TEXT]
        assert [sum(probe is wanted for probe, _ in events) for wanted in both] == [1, 1, 1]
        assert not target.read_memory(SERIAL_FLAGS, 1)[0] & RECEIVE_EMPTY
        assert target.read_memory(SERIAL, 1) == b"x"


def test_in_user_mode_nobody_asks_the_processor_and_nothing_is_read(tmp_path: Path):
    with machine(tmp_path, "cortex-a8") as (_, target):
        begin(target, [TEXT])
        registers = target.read_registers()
        registers.pc, registers.r0, registers.cpsr = SITE, TEXT, 0x10
        target.write_registers(registers)
        target.push_registers()
        registers.sp = 0x30000  # that of the new mode
        target.write_registers(registers)
        with Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], image=IMAGE) as session:
            session.define(DEFINITION)
            session.optimize_now()
            assert session.run(until=SITE + 4).reason is StopReason.ADDRESS
            (event,) = session.events()
        assert event.values == {"address": TEXT, "word": None, "bytes": None, "text": None}


@pytest.mark.parametrize(("on", "expected"), [(0, OFF), (1, LONG)])
def test_in_hypervisor_mode_its_own_mmu_is_asked(tmp_path: Path, on: int, expected: dict[int, str | None]):
    with machine(tmp_path, "cortex-a15") as (_, target):
        # HTCR, HTTBR, HMAIR0, the hypervisor's TLB and HSCTLR in the place of those of PL1.
        for number, word in {
            1: 0xEE828F50, 2: 0xEC40CF42, 6: 0xEE8A0F12, 7: 0xEE880F17, 8: 0xEE910F10, 10: 0xEE810F10,
        }.items():  # fmt: skip
            target.write_memory(BASE + 4 * number, word.to_bytes(4, "little"))
        target.write_memory(0x01FFFFFC, b"\x01\x02\x03\x04")
        begin(target, list(expected), **(long_tables(target) | {"r9": on}))
        registers = target.read_registers()
        registers.cpsr = 0x1DA
        target.write_registers(registers)
        assert dict(texts(target)) == expected
        assert (0x80000000 in [region.start for region in target.regions]) == bool(on)


def test_a_processor_that_cannot_be_asked_is_read_while_its_mmu_is_off(tmp_path: Path):
    """An ARM1136 has no translation operations, nor PAR."""
    with machine(tmp_path, "arm1136") as (_, target):
        for place in (SITE - 4, SITE + 4, SITE + 8):
            target.write_memory(place, (0xE1A00000).to_bytes(4, "little"))
        target.write_memory(SITE + 12, (0xE1A00000).to_bytes(4, "little"))
        image = Image.from_words(memoryview(target.read_memory(BASE, 4 * len(WORDS))).cast("I"), base=BASE)
        addresses = [TEXT, SERIAL_FLAGS, 0x02000000]
        for mmu, expected in ((0, [0x65742061, None, None]), (1, [None] * 3)):
            begin(target, addresses, **(short_tables(target) | {"r9": mmu}))
            with Session(target, symbols=SymbolTable.from_image(image), slots=[SLOTS], image=image) as session:
                session.define(f"p {SITE:#x} word=+0(%r0):u32")
                session.optimize_now()
                assert session.run(until=DONE).reason is StopReason.ADDRESS
                assert [event.values["word"] for event in session.events()] == expected
        with (
            Session(target, symbols=SymbolTable.from_image(image), slots=[SLOTS], image=image) as session,
            pytest.raises(
                Refused, match=r"its MMU or MPU on, and can't be asked what an address stands for \(ATS1CPR\)$"
            ),
        ):
            session.define(f"p {SITE:#x} word=+0(%r0):u32")


@pytest.mark.parametrize("killed", [False, True], ids=["session ends", "session is killed"])
def test_who_is_in_the_reading_routine_comes_out_of_it(tmp_path: Path, killed: bool):
    undefined = 0xE7F000F0.to_bytes(4, "little") * 0x4000
    with machine(tmp_path, "cortex-a8") as (_, target):
        target.write_memory(SLOTS.start, undefined)
        inside = 0
        for depth in range(30, 400, 53):
            begin(target, [TEXT])
            target.journal = notes = Notes()
            session = Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS], image=IMAGE)
            session.define(f"p {SITE:#x} text=+0(%r0):string")
            session.optimize_now()
            target.run(lambda _: False, limit=depth)
            routines = session._engine.instruments.memory.code
            pc = target.read_registers().pc
            inside += any(code.address <= pc < code.end for code in routines)
            if killed:
                done = recover(target, notes.left)
                assert (done.complete, done.in_place) == (True, [])
            else:
                session.close()
                assert session.in_place == ()
            assert not notes.left
            assert target.read_memory(SLOTS.start, len(undefined)) == undefined
            assert target.run(lambda _: False, until=DONE).reason is StopReason.ADDRESS
            assert target.read_registers().r5 == 1, f"stopped after {depth} instructions"
            assert target.read_registers().cpsr & 0xC0 == 0xC0
        assert inside > 1


def test_what_qemu_knows_better_is_refused_and_what_it_confirms_changes_nothing(tmp_path: Path):
    with machine(tmp_path, "cortex-a8") as (_, target):
        before = target.regions
        target.know_memory([Region(0, 0x1000000), Region(0x1000000, 0x2000000, writable=False)])
        assert target.regions == before
        for region, what in (
            (Region(SERIAL, SERIAL + 0x1000), "0x10009000..0x1000a000: pl011 (device) is there"),
            (Region(0x1000000, 0x4000000), "0x02000000..0x04000000: nothing is there"),
        ):
            stated = f"0x{region.start:08x}:0x{region.end:08x}"
            message = f"memory {stated} is not what QEMU says of {what}"
            with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
                target.know_memory([region])


def test_slots_are_used_again_where_the_tables_that_were_switched_on_since_show_all_ram(tmp_path: Path):
    """RAM that its tables do not lead to can't be searched: then slots stay."""
    few = Region(SLOTS.start, SLOTS.start + 0x200, name="slots")
    for tables, again in ((short_tables, False), (whole_tables, True)):
        with machine(tmp_path, "cortex-a8") as (_, target):
            begin(target, [TEXT], **tables(target))
            with Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[few], image=IMAGE) as session:
                count_once(session)
                assert target.run(lambda _: False, until=LOOP).reason is StopReason.ADDRESS
                with nullcontext() if again else pytest.raises(NoMemory) as refused:
                    for _ in range(20):
                        count_once(session)
                assert again or "a task may sleep there" in refused.value.evidence


def whole_tables(target: GdbRemoteTarget) -> dict[str, int]:
    """All addresses stand for themselves."""
    target.write_memory(TABLES, struct.pack("<4096I", *(number * MIB | 0x402 for number in range(4096))))
    return {"r9": 1, "r12": TABLES}


def count_once(session: Session) -> None:
    probe = session.count(SITE)
    session.optimize_now()
    probe.unregister()
