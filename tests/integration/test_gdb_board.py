"""The sample firmware on a board in QEMU, behind its GDB stub: everything as in the embedded emulator."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from tests.targets.qemu_board import SLOTS, Board, board

import armprobe
from armprobe.cli.main import main
from armprobe.errors import TargetLost, UsageError
from armprobe.patching.plan import show
from armprobe.probes.probe import Hit
from armprobe.session import Session
from armprobe.symbols.image import Image
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Stop, StopReason, Target
from armprobe.targets.gdbremote import GdbRemoteTarget

PACKETS = "500"
TRACED = "p:packet parse_packet buffer=%r0 length=%r1:u32 if length > 40"
pytestmark = pytest.mark.slow


@pytest.fixture
def demo() -> Iterator[Path]:
    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        yield elf


@pytest.fixture
def image(demo: Path) -> Image:
    return Image.load(demo)


@pytest.fixture
def firmware(demo: Path) -> Iterator[Board]:
    with board("-kernel", str(demo), arguments=["demo", PACKETS]) as running:
        yield running


@pytest.fixture
def target(firmware: Board) -> Iterator[GdbRemoteTarget]:
    target = GdbRemoteTarget.connect(firmware.address)
    yield target
    target.detach()


def start(target: Target, image: Image) -> Session:
    """A session that leaves the target attached, so that one can look at what it leaves."""
    return Session(target, symbols=SymbolTable.from_image(image), slots=[SLOTS])


def emulated(image: Image) -> Session:
    return armprobe.emulate(image, arguments=["demo", PACKETS], output=lambda _: None)


def memory(session: Session, image: Image) -> list[bytes]:
    """All memory of the program but the part of its stack that it has left."""
    (stack_top,) = {symbol.address for symbol in session.symbols.named("stack_top")}
    (variables_end,) = {symbol.address for symbol in session.symbols.named("bss_end")}
    first = min(part.address for part in image.segments)
    spans = [(first, variables_end), (session.regs.sp, stack_top)]
    return [session.target.read_memory(low, high - low) for low, high in spans]


def probe_all(session: Session, image: Image) -> tuple[dict[str, int], list[dict[str, int]], list[tuple[int, int]]]:
    """Counts of all functions, events of one, and what a host handler saw, up to the end of the program."""
    seen: list[tuple[int, int]] = []
    # The entry sets up the stack: what a detour saves there would be left where no stack is later.
    counters = session.count_all(address for address in session.places("*") if address != image.entry)
    tracer = session.define(TRACED)
    session.probe("malloc", lambda hit: seen.append((hit.regs.r0, hit.regs.lr)))
    assert session.run(until="leave") == Stop(StopReason.ADDRESS, session.locate("leave"))
    events = [event.values for event in session.events()]
    assert session.lost(tracer) == 0
    return {session.symbols.describe(probe.address): probe.hits for probe in counters}, events, seen


def read_memory(session: Session) -> tuple[list[dict[str, object]], list[int], list[int]]:
    """What handlers read: pointers, arrays, strings, in the target and on the host; devices, and what is not there."""
    (state,) = {symbol.address for symbol in session.symbols.named("allocator_statistics")}
    device, nothing = 0x10009018, 0xF0000000
    session.define(
        "p:packet parse_packet first=+0(%r0):u32 bytes=+0(%r0):u8[4] text=+1(%r0):string odd=+3(%r0):u16 "
        f"task=+0(@tasks+20):string code=+0(@tasks+24):u32 allocated=@{state:#x}:u32 device=@{device:#x}:u32 "
        f"nothing=@{nothing:#x}:string"
    )
    session.define("p:kinds parse_packet kind=+0(%r0):u8 length=%r1 if kind == 3 && length > 20")
    seen: list[int] = []
    session.probe("parse_packet", lambda hit: seen.append(hit.regs.r1), when=lambda r0, r1: u8(r0) == r1 % 7)  # noqa: F821
    kinds = session.table("kinds", 64)
    on_host = session.table("the same", 64)

    def compiled(r0, r1):
        kinds[u16(r0)] += r1  # noqa: F821
        if u8(r0 + 1) == 0:  # noqa: F821
            emit(size=r1, word=u32(r0))  # noqa: F821
        kinds[u32(0x10009018)] += 1  # noqa: F821

    def same(r0, r1):
        on_host[u16(r0)] += r1  # noqa: F821

    faults = session.probe("parse_packet", compiled, compiled=True)
    session.probe("parse_packet", session.on_host(same))
    session.optimize_now()
    assert session.run(until="leave").reason is StopReason.ADDRESS
    assert kinds.values() == on_host.values()
    return [dict(event.values) for event in session.events()], seen, [*kinds.values(), faults.faults]


def test_handlers_read_memory_as_in_the_emulator(target: GdbRemoteTarget, image: Image):
    with emulated(image) as session:
        expected = read_memory(session)
    with start(target, image) as session:
        found = read_memory(session)
        assert {probe.state for probe in session.probes} == {"branch"}
    assert session.in_place == ()
    assert found == expected
    assert len(expected[0]) > 500
    assert any(values.get("text") for values in expected[0])
    assert {values.get("device", values.get("nothing")) for values in expected[0]} == {None}
    assert len(expected[1]) > 20
    assert expected[2][-1] == sum("text" in values for values in expected[0]) > 500


def inject_faults(session: Session) -> tuple[list[dict[str, int]], list[int]]:
    """Calls of malloc that are skipped, and results of crc32 that are changed, in the target; and what comes of it."""

    @session.probe("malloc", compiled=True)
    def short_of_memory(r0):
        if r0 > 24:
            emit(size=r0)  # noqa: F821  words of the language
            skip(0)  # noqa: F821

    @session.retprobe("crc32", compiled=True)
    def wrong(hit):
        emit(was=hit.retval)  # noqa: F821
        hit.retval = hit.retval ^ 1

    others = session.count_all(["malloc+4", "free"])
    session.optimize_now()
    assert session.run(until="leave").reason is StopReason.ADDRESS
    seen = [dict(event.values) for event in session.events()]
    hits = [probe.hits for probe in (short_of_memory, wrong, *others)]
    assert hits[0] > hits[2] > 0
    return seen, hits


def test_faults_that_are_injected_on_a_board_have_the_same_effect(target: GdbRemoteTarget, image: Image):
    with emulated(image) as session:
        expected = inject_faults(session)
    expected_memory = memory(session, image)
    with start(target, image) as session:
        assert inject_faults(session) == expected
    assert memory(session, image) == expected_memory


def test_counts_events_and_handlers_are_those_of_the_emulator_and_all_is_restored(
    firmware: Board, target: GdbRemoteTarget, image: Image
):
    with emulated(image) as session:
        expected = probe_all(session, image)
    expected_memory = memory(session, image)
    slots = target.read_memory(SLOTS.start, SLOTS.end - SLOTS.start)
    with start(target, image) as session:
        found = probe_all(session, image)
        assert {probe.state for probe in session.probes} == {"branch"}
    assert found == expected
    assert len(expected[1]) > 40
    assert len(expected[2]) > 100
    assert memory(session, image) == expected_memory
    assert target.read_memory(SLOTS.start, SLOTS.end - SLOTS.start) == slots
    target.detach()
    assert b"parse_packet" in firmware.output()


def test_detours_that_stop_for_a_full_ring_or_a_handler_change_no_register(target: GdbRemoteTarget, image: Image):
    """All registers at each of 28,000 hits; the ring is full six times."""
    fields = " ".join(f"r{number}=%r{number}" for number in range(13))

    def observe(session: Session) -> tuple[list[object], list[object]]:
        steps = session.define(f"p:step crc32+0x78 {fields} sp=%sp lr=%lr flags=%cpsr")
        seen: list[object] = []
        session.probe("crc32+0x80", lambda hit: seen.append(hit.regs.copy()), when="%r3 > 0xffff0000")
        session.define("r:sum crc32 $retval")
        session.optimize_now()
        assert session.run(until="leave").reason is StopReason.ADDRESS
        events = [tuple(event.values.items()) for event in session.events()]
        assert session.lost(steps) == 0
        return events, seen

    with emulated(image) as session:
        expected = observe(session)
    with start(target, image) as session:
        found = observe(session)
        (place,) = (address for address in range(SLOTS.start, SLOTS.end, 4) if address in target.breakpoints)
        assert place % 4096 == 0
    assert found == expected
    assert len(found[0]) > 28_000
    assert found[1]


def test_every_instruction_is_counted_as_in_the_emulator(firmware: Board, target: GdbRemoteTarget, image: Image):
    with emulated(image) as session:
        functions = [symbol for symbol in session.symbols.symbols if symbol.function and symbol.size]
        places = {place for symbol in functions for place in range(symbol.address, symbol.address + symbol.size, 4)}
        code = [place for place in sorted(places) if session.symbols.is_code(place) and place > image.entry + 12]
        sites = [place for place in code if not session.explain(place).refused]
        counters = session.count_all(sites)
        session.optimize_now()
        session.run(until="leave")
        expected = {probe.address: probe.hits for probe in counters}
    with start(target, image) as session:
        before = target.round_trips
        counters = session.count_all(sites)
        session.optimize_now()
        assert target.round_trips - before < 50
        session.run(until="leave")
        assert {probe.address: probe.hits for probe in counters} == expected
    assert len(sites) > 500
    target.detach()
    assert b"crc_disagreements 0" in firmware.output()


def test_each_access_to_watched_data_is_seen_once_with_probes_on_the_code_that_makes_it(
    target: GdbRemoteTarget, image: Image
):
    """The firmware counts its checksums itself, in crc32_calls."""
    seen: list[tuple[int, int]] = []
    with start(target, image) as session:
        session.run(until="firmware_main")
        calls = session.count("crc32")
        # The load, the addition, and the store that the watchpoint sees: it is made out of line then.
        inside = session.count_all(session.locate("crc32") + offset for offset in (0x14, 0x18, 0x1C, 0x20))
        session.optimize_now()
        watch = session.watch("crc32_calls", lambda access: seen.append((access.old, access.value)))
        session.run(until="leave")
        (variable,) = {symbol.address for symbol in session.symbols.named("crc32_calls")}
        total = int.from_bytes(session.read_memory(variable, 4), "little")
        assert total > 1000
        assert seen == [(number, number + 1) for number in range(total)]
        assert [watch.hits, calls.hits, *(probe.hits for probe in inside)] == [total] * 6
        watch.remove()
        assert not target.own_breakpoints.others(None)


def test_what_a_stub_does_not_watch_is_said(target: GdbRemoteTarget, image: Image):
    with start(target, image) as session:
        session.watch("ticks", lambda _: None, access="any")
        with pytest.raises(UsageError, match=r"^0x[0-9a-f]{8} is watched already, or has a breakpoint$"):
            session.watch("ticks", lambda _: None)
        with pytest.raises(
            UsageError, match=r"^1, 2, 4 or 8 bytes at a multiple of their number can be watched, not 4"
        ):
            session.watch("ticks+2", lambda _: None)
        with pytest.raises(UsageError, match=r"^no symbol is called 'tick'$"):
            session.watch("tick", lambda _: None)


def test_post_handlers_conditions_and_calls_work(firmware: Board, target: GdbRemoteTarget, image: Image):
    """Host handlers in all their forms, on the board and in the emulator."""

    def observe(session: Session) -> tuple[object, ...]:
        seen: list[tuple[int, ...]] = []
        crc32 = session.locate("crc32")
        session.probe("crc32", lambda hit: seen.append((1, hit.regs.r0, hit.regs.cpsr >> 28)), when="%r1 > 60")
        session.probe("free", post_handler=lambda hit: seen.append((2, hit.regs.r0, hit.regs.pc)))
        session.probe("scheduler_tick", lambda hit: seen.append((3, hit.call(crc32, 0x8000, 64))))
        session.run(until="leave")
        # r0 is what the last semihosting call returned, and that is nothing.
        return (seen, session.regs.values[1:])

    with emulated(image) as session:
        expected = observe(session)
    with start(target, image) as session:
        found = observe(session)
    assert found == expected
    assert {kind for kind, *_ in found[0]} == {1, 2, 3}
    target.detach()


def test_the_end_of_the_program_ends_the_session(firmware: Board, image: Image):
    with armprobe.attach_gdb(firmware.address, image, slots=[SLOTS]) as session:
        calls = session.count("malloc")
        stop = session.run()
        assert (stop.reason, stop.exit_code, stop.gone) == (StopReason.EXIT, 0, True)
        message = f"the program behind {firmware.address} ended, and its memory went with it"
        with pytest.raises(TargetLost, match=f"^{re.escape(message)}$"):
            calls.hits  # noqa: B018
    assert b"parse_packet" in firmware.output()


def test_leaving_a_session_lets_the_program_run_on(firmware: Board, image: Image):
    with armprobe.attach_gdb(firmware.address, image, slots=[SLOTS]) as session:
        session.define(TRACED)
        session.run(until="scheduler_tick")
    assert b"crc_disagreements 0" in firmware.output()


def test_the_emulator_that_dies_is_told_with_what_was_not_restored(firmware: Board, image: Image):
    def kill(_hit: Hit) -> None:
        firmware.process.kill()
        firmware.process.wait()

    session = armprobe.attach_gdb(firmware.address, image, slots=[SLOTS])
    session.count("free")
    session.optimize_now()
    session.probe("malloc", kill)
    with pytest.raises(TargetLost, match=r"closed the connection|broke: ") as caught:
        session.run()
    assert caught.value.evidence == f"free held {show(code_at(image, session.locate('free')))}"
    session.close()


def code_at(image: Image, address: int) -> bytes:
    (segment,) = [part for part in image.segments if part.address <= address < part.end]
    return segment.data[address - segment.address :][:4]


def command(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_line_counts_as_in_the_emulator(firmware: Board, demo: Path, capsys):
    places = ["-e", "malloc", "-e", "crc32", "-e", "ring_*", "--until", "leave", "--json"]
    assert command("stat", demo, *places, "--", PACKETS) == 0
    expected = json.loads(capsys.readouterr().out)
    slots = f"{SLOTS.start:#x}:{SLOTS.end:#x}"
    assert command("stat", demo, "--gdb", firmware.address, "--slots", slots, *places) == 0
    found = json.loads(capsys.readouterr().out)

    def hits(result: dict[str, list[dict[str, object]]]) -> dict[object, object]:
        return {row["location"]: (row["hits"], row["kind"]) for row in result["probes"]}

    assert hits(found) == hits(expected)
    assert found["stop"] == expected["stop"]


def test_the_command_line_traces_as_in_the_emulator(firmware: Board, demo: Path, capsys):
    options = ["-e", TRACED, "--until", "leave"]
    assert command("trace", demo, *options, "--", PACKETS) == 0
    # The emulator has a clock, and the board has none.
    expected = re.sub(r"^\d+: ", "", capsys.readouterr().out, flags=re.MULTILINE)
    slots = f"{SLOTS.start:#x}:{SLOTS.end:#x}"
    assert command("trace", demo, "--gdb", firmware.address, "--slots", slots, *options) == 0
    assert capsys.readouterr().out == expected
    assert expected.count("packet:") > 40


def test_without_memory_for_slots_nothing_is_planted(firmware: Board, demo: Path, capsys):
    assert command("stat", demo, "--gdb", firmware.address, "-e", "malloc") == 2
    assert capsys.readouterr().err == (
        "error[AP100]: a program behind --gdb needs --slots: memory that it does not use, for the code and data of "
        "probes\n"
        "  the program is at 0x00008000..0x00008f6d, 0x00009000..0x00015770\n"
        "  the stub tells of ram at 0x00000000..0x08000000, alias of ram at 0x70000000..0x78000000, ram at "
        "0xe0000000..0xe0001000\n"
        "  a branch reaches 32 MiB: memory further away costs more at each hit, and may leave traps\n"
        "  0x00020000..0x00030000 is not to be had: the word at 0x00008f28 points there\n"
        "  0x00030000..0x00040000 takes writes, holds one value, and nothing points there\n"
        "help: for example --slots 0x00030000:0x00040000, if neither heap nor stack come there\n"
    )


def test_commands_are_executed_by_the_emulator(demo: Path, image: Image, capsys):
    # As many packets as take longer than the test.
    with (
        board("-kernel", str(demo), arguments=["demo", "1000000000"]) as firmware,
        armprobe.attach_gdb(firmware.address, image, slots=[SLOTS], monitor=["info version"]) as session,
    ):
        version = capsys.readouterr().err
        assert re.fullmatch(r"\d+\.\d+\.\d+.*\s+", version)
        session.run(until="scheduler_tick")
        place = session.locate("scheduler_tick")
        assert f"R15={place:08x}" in session.target.monitor("info registers")
        # The program goes on, and is stopped again before anything else is asked.
        session.target.monitor("cont")
        session.run(until="scheduler_tick")
        assert session.regs.pc == place
        # A trap stays where it is.
        ticks = session.probe("scheduler_tick", lambda _: session.stop())
        session.target.monitor("info version")
        assert session.run().reason is armprobe.StopReason.INTERRUPT
        assert ticks.hits > 0


def test_a_command_is_given_on_the_command_line(firmware: Board, demo: Path, capsys):
    options = ["--gdb", firmware.address, "--slots", f"{SLOTS.start:#x}:{SLOTS.end:#x}", "--monitor", "info status"]
    options += ["--until", "scheduler_tick"]
    assert main(["stat", str(demo), *options, "-e", "malloc"]) == 0
    assert "paused" in capsys.readouterr().err
