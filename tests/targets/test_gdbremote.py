"""The GDB client against a stub that works, and against stubs that do not."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.targets.contract import BASE, NOP, SELF
from tests.targets.stub import HANG_UP, TARGET_XML, Stub, packet

from armprobe.errors import ProtocolError, TargetError, TargetFault, TargetLost, UsageError
from armprobe.targets.base import Region, Stop, StopReason
from armprobe.targets.connection import Connection, parse_address
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget

RAM = Region(0x20000, 0x40000, name="ram")
#: patience with a stub that says nothing; the other tests do not wait at all
SHORT = 0.25


@contextmanager
def attached(**options) -> Iterator[tuple[GdbRemoteTarget, Stub]]:
    fake = FakeTarget([NOP, NOP, NOP, SELF], base=BASE)
    fake.map_memory(RAM)
    with Stub(fake, **options) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        stub.requests.clear()
        yield target, stub
        target.detach()


def lost(message: str) -> object:
    return pytest.raises(TargetLost, match=f"^{re.escape(message)}$")


def only(request: bytes, answer: bytes | None) -> Callable[[bytes], bytes | None]:
    """A stub that answers this one request in another way."""
    return lambda came: answer if came.startswith(request) else None


# --- round trips and packets


def test_memory_travels_in_as_few_packets_as_the_stub_takes():
    with attached(packet_size=0x1000, binary=True) as (target, stub):
        data = bytes(range(256)) * 32
        before = target.round_trips
        target.write_memory(RAM.start, data)
        assert target.read_memory(RAM.start, len(data)) == data
        assert target.round_trips - before == 2
        assert [request[:1] for request in stub.requests] == [b"X"] * 5 + [b"m"] * 5  # 8192 bytes by 2036


def test_pieces_that_touch_share_a_packet_and_others_a_round_trip():
    with attached() as (target, stub):
        writes = [(RAM.start + 4 * n, bytes([n] * 4)) for n in range(16)] + [(RAM.start + 0x1000, b"far!")]
        before = target.round_trips
        target.write_many(writes)
        assert target.read_many([(address, 4) for address, _ in writes]) == [data for _, data in writes]
        assert target.round_trips - before == 2
        assert len(stub.requests) == 4


def test_binary_data_is_escaped():
    with attached(binary=True) as (target, stub):
        target.write_memory(RAM.start, b"#$}*")
        assert target.read_memory(RAM.start, 4) == b"#$}*"
        assert stub.requests[0] == b"X20000,4:}\x03}\x04}]}\n"


def test_breakpoints_are_set_and_cleared_in_one_round_trip_each():
    with attached() as (target, stub):
        addresses = list(range(RAM.start, RAM.start + 4 * 200, 4))
        assert target.breakpoints is not None
        before = target.round_trips
        target.breakpoints.insert(addresses)
        assert stub.breakpoints == set(addresses)
        target.breakpoints.remove(addresses)
        assert stub.breakpoints == set()
        assert target.round_trips - before == 2


def test_a_hit_costs_two_round_trips():
    with attached() as (target, _):
        target.breakpoints.insert([BASE + 4])

        def on_trap(address: int) -> bool:
            registers = target.read_registers()
            registers.pc = BASE if len(hits) < 9 else address + 4
            hits.append(address)
            target.write_registers(registers)
            return True

        hits: list[int] = []
        before = target.round_trips
        assert target.run(on_trap, until=BASE + 8).reason is StopReason.ADDRESS
        assert len(hits) == 10
        # One to go on and one for the registers. Besides, the registers at first, and the breakpoint for the end.
        assert target.round_trips - before == 2 * 10 + 1 + 2


def test_a_stub_that_reads_one_packet_at_a_time_gets_one_at_a_time():
    came: list[bytes] = []

    def forget_what_follows(request: bytes) -> bytes | None:
        came.append(request)
        # As a stub does that reads a buffer, takes the first packet in it and drops the rest.
        return b"" if request == b"?" and came.count(b"?") == 1 else None

    fake = FakeTarget([NOP, SELF], base=BASE)
    with Stub(fake, answer=forget_what_follows) as stub:
        target = GdbRemoteTarget.connect(stub.address, timeout=SHORT)
        before = target.round_trips
        target.write_many([(BASE + 0x100, b"abcd"), (BASE + 0x200, b"efgh")])
        assert target.round_trips - before == 2
        target.detach()


# --- what stubs can and cannot do


def test_a_stub_without_breakpoints_leaves_traps_to_memory():
    with attached(breakpoints=()) as (target, _):
        assert target.breakpoints is None


def test_code_that_takes_no_software_breakpoint_gets_one_of_the_processor():
    with attached(flash=range(BASE, BASE + 0x1000)) as (target, stub):
        target.breakpoints.insert([BASE, RAM.start])
        assert stub.requests == [b"Z0,8000,4", b"Z0,20000,4", b"Z1,8000,4"]
        target.breakpoints.remove([BASE, RAM.start])
        assert stub.requests[3:] == [b"z1,8000,4", b"z0,20000,4"]


def test_breakpoints_are_set_all_or_none():
    def refuse(request: bytes) -> bytes | None:
        return b"+" + packet(b"E0e") if request in (b"Z0,8008,4", b"Z1,8008,4") else None

    with attached(answer=refuse) as (target, stub):
        message = (
            f"the stub at {stub.address} sets no breakpoint at 0x00008008, it answers 'E0e'; "
            "3 were wanted, and none is set"
        )
        with pytest.raises(TargetError, match=f"^{re.escape(message)}$"):
            target.breakpoints.insert([BASE, BASE + 4, BASE + 8])
        assert stub.breakpoints == set()


def test_a_breakpoint_stays_as_long_as_somebody_wants_it():
    with attached() as (target, stub):
        target.breakpoints.insert([BASE + 4])
        assert target.run(lambda _: False, until=BASE + 4) == Stop(StopReason.ADDRESS, BASE + 4)
        assert stub.breakpoints == {BASE + 4}
        target.breakpoints.remove([BASE + 4])
        assert stub.breakpoints == set()


def test_the_memory_map_says_where_memory_is_and_what_can_be_written():
    document = (
        '<memory-map><memory type="ram" start="0x20000" length="0x20000"/>'
        '<memory type="flash" start="0x8000" length="0x1000"/></memory-map>'
    )
    with attached(offers="qXfer:features:read+;qXfer:memory-map:read+", memory_map=document) as (target, _):
        assert target.regions == (
            Region(0x8000, 0x9000, writable=False, name="flash"),
            Region(0x20000, 0x40000, name="ram"),
        )
        message = "cannot write 4 bytes at 0x0003fffe: not all of it is mapped"
        with pytest.raises(TargetFault, match=f"^{re.escape(message)}$"):
            target.write_memory(0x3FFFE, b"abcd")


def test_nobody_knows_the_memory_of_a_stub_without_a_map():
    with attached() as (target, _):
        assert target.regions == (Region(0, 1 << 32, readable=False, name="unknown"),)


def test_a_write_that_the_stub_refuses_is_a_fault():
    with attached() as (target, _):
        message = "cannot write 4 bytes at 0x00050000: the stub answers E14"
        with pytest.raises(TargetFault, match=f"^{re.escape(message)}$"):
            target.write_many([(RAM.start, b"abcd"), (0x50000, b"efgh")])


def test_a_part_that_can_be_read_does_not_hide_one_that_cannot():
    with attached(packet_size=0x100) as (target, _):
        message = f"cannot read 4096 bytes at 0x{RAM.end - 2048:08x}: the stub answers E14"
        with pytest.raises(TargetFault, match=f"^{re.escape(message)}$"):
            target.read_memory(RAM.end - 2048, 4096)


def test_a_64_bit_target_is_refused():
    document = TARGET_XML.replace(">arm<", ">aarch64<")
    fake = FakeTarget([NOP], base=BASE)
    answer = only(b"qXfer:features:read:target.xml:", packet(b"l" + document.encode()))
    with Stub(fake, answer=answer) as stub:
        message = f"the target at {stub.address} is aarch64, not 32-bit ARM"
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
            GdbRemoteTarget.connect(stub.address)


def test_a_microcontroller_is_refused_for_its_registers():
    document = TARGET_XML.replace('"cpsr"', '"xpsr"')
    fake = FakeTarget([NOP], base=BASE)
    answer = only(b"qXfer:features:read:target.xml:", packet(b"l" + document.encode()))
    with Stub(fake, answer=answer) as stub:
        with pytest.raises(UsageError, match=r"^the stub describes no register cpsr$") as caught:
            GdbRemoteTarget.connect(stub.address)
        assert caught.value.hint == "armprobe probes A32 code; a Cortex-M processor has xpsr for cpsr"


@pytest.mark.parametrize(
    ("reply", "stop"),
    [
        (b"W2a", Stop(StopReason.EXIT, BASE, exit_code=42, gone=True)),
        (b"X09", Stop(StopReason.EXIT, BASE, message="was ended by SIGKILL", signal=9, gone=True)),
        (
            b"T04thread:1;",
            Stop(StopReason.FAULT, BASE, address=BASE, access="undefined", message="undefined instruction"),
        ),
        (b"T0bthread:1;", Stop(StopReason.FAULT, BASE, address=BASE, message="bad address")),
        (b"T02thread:1;", Stop(StopReason.INTERRUPT, BASE)),
        (b"S05", Stop(StopReason.TRAP, BASE)),
    ],
)
def test_stops_are_told(reply: bytes, stop: Stop):
    with attached(answer=only(b"vCont;c", packet(reply))) as (target, _):
        assert target.run(lambda _: False) == stop


def test_the_end_of_the_program_is_the_end_of_its_memory():
    with attached(answer=only(b"vCont;c", packet(b"W00"))) as (target, stub):
        target.run(lambda _: False)
        message = f"the program behind {stub.address} ended, and its memory went with it"
        with lost(message) as caught:
            target.read_memory(BASE, 4)
        assert caught.value.hint == "stop before its end: until=..., or --until LOCATION"


def test_what_the_program_prints_is_passed_on():
    printed = bytearray()
    fake = FakeTarget([NOP, SELF], base=BASE)
    reply = packet(b"O48690a") + packet(b"O210a") + packet(b"T05thread:1;")
    with Stub(fake, answer=only(b"vCont;c", reply)) as stub:
        target = GdbRemoteTarget.connect(stub.address, output=printed.extend)
        target.run(lambda _: False)
        target.detach()
    assert printed == b"Hi\n!\n"


def test_the_program_gets_the_signals_that_are_its_own():
    replies = iter([packet(b"T0ethread:1;"), packet(b"T05thread:1;")])
    with attached(answer=lambda request: next(replies) if request.startswith(b"vCont;") else None) as (target, stub):
        assert target.run(lambda _: False).reason is StopReason.TRAP
        assert [request for request in stub.requests if request.startswith(b"vCont")] == [b"vCont;c", b"vCont;C0e:1;c"]


def test_another_thread_may_stop_the_run():
    with attached() as (target, stub):
        running = threading.Event()
        stub.answer = lambda request: running.set() if request.startswith(b"vCont;c") else None
        stopper = threading.Thread(target=lambda: (running.wait(), target.stop()))
        stopper.start()
        assert target.run(lambda _: False).reason is StopReason.INTERRUPT
        stopper.join()


def test_a_stop_waits_for_the_steps_that_a_handler_has_taken():
    with attached() as (target, _):
        target.breakpoints.insert([BASE + 4])

        def on_trap(address: int) -> bool:
            target.stop()
            saved = target.read_registers()
            registers = saved.copy()
            registers.pc = BASE
            target.write_registers(registers)
            assert target.run(lambda _: False, limit=1) == Stop(StopReason.LIMIT, BASE + 4)
            saved.pc = address + 4
            target.write_registers(saved)
            return True

        assert target.run(on_trap) == Stop(StopReason.INTERRUPT, BASE + 8)


def test_a_packet_that_comes_in_pieces_is_waited_for():
    ours, stubs = socket.socketpair()
    with ours, stubs:
        connection = Connection(ours, name="pieces")
        stubs.sendall(b"+$T0")
        rest = threading.Timer(0.05, stubs.sendall, [packet(b"T05")[3:]])
        rest.start()
        assert connection.wait(timeout=10) == b"T05"
        rest.join()
        assert connection.wait(timeout=0) is None


def test_ctrl_c_ends_the_run():
    with attached() as (target, stub):
        stub.answer = lambda request: os.kill(os.getpid(), signal.SIGINT) if request.startswith(b"vCont;c") else None
        assert target.run(lambda _: False).reason is StopReason.INTERRUPT
        stub.answer = lambda _: None
        assert target.run(lambda _: False, limit=1).reason is StopReason.LIMIT


def test_output_that_cannot_be_written_stops_the_target_and_is_told():
    def broken(_: bytes) -> None:
        raise BrokenPipeError

    answers = iter([packet(b"O21"), None])
    fake = FakeTarget([NOP, SELF], base=BASE)
    with Stub(fake, answer=lambda request: next(answers) if request.startswith(b"vCont;c") else None) as stub:
        target = GdbRemoteTarget.connect(stub.address, output=broken)
        stub.interrupted = packet(b"T02thread:1;")
        with pytest.raises(BrokenPipeError):
            target.run(lambda _: False)
        assert target.read_registers().pc == BASE
        target.detach()


def test_a_target_that_runs_on_is_stopped_by_the_next_request_and_its_rest_is_measured():
    with attached(answer=only(b"vCont;c", b"")) as (target, stub):
        stub.interrupted = packet(b"T02thread:1;")
        target.runner.go()
        stood = target.runner.seconds_stopped
        assert target.runner.seconds_stopped == stood
        assert target.read_memory(BASE, 4) == NOP.to_bytes(4, "little")
        assert [request[:1] for request in stub.requests] == [b"v", b"m"]
        assert target.runner.seconds_stopped >= stood
        target.runner.halt()
        assert [request[:1] for request in stub.requests] == [b"v", b"m"]


def test_a_stub_that_does_not_stop_is_given_up():
    fake = FakeTarget([NOP, SELF], base=BASE)
    with Stub(fake, answer=only(b"vCont;c", packet(b"O21"))) as stub:
        target = GdbRemoteTarget.connect(stub.address, output=lambda _: target.stop(), timeout=SHORT)
        with lost(f"the stub at {stub.address} does not stop the target") as caught:
            target.run(lambda _: False)
        assert caught.value.hint == (
            "QEMU's user-mode stub can't, nor gdbserver a process that leads no group: say where to stop, with until= "
            "or --until"
        )
        target.detach()


def test_detaching_lets_the_target_go_on_from_the_registers_that_were_set():
    fake = FakeTarget([NOP, SELF], base=BASE)
    with Stub(fake) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        registers = target.read_registers()
        registers.pc = BASE + 4
        target.write_registers(registers)
        assert fake.read_registers().pc == BASE
        target.detach()
        assert fake.read_registers().pc == BASE + 4
        assert stub.requests[-1] == b"D"


# --- faults of the connection


@pytest.mark.parametrize("offers", ["", "QStartNoAckMode+;qXfer:features:read+"], ids=["acks", "no-acks"])
def test_a_reply_that_comes_damaged_is_asked_for_again(offers: str):
    damaged: list[bytes] = []

    def damage(request: bytes) -> bytes | None:
        if request.startswith(b"m") and request not in damaged:
            damaged.append(request)
            return b"$0000#ff"
        return None

    with attached(offers=offers, answer=damage) as (target, _):
        assert target.read_many([(BASE, 4), (BASE + 12, 4)]) == [NOP.to_bytes(4, "little"), SELF.to_bytes(4, "little")]
        assert len(damaged) == 2


def test_a_request_that_the_stub_could_not_read_is_sent_again():
    refused: list[bytes] = []

    def refuse(request: bytes) -> bytes | None:
        if request not in refused and request.startswith((b"m8", b"vCont;c")):
            refused.append(request)
            return b"-"
        return None

    with attached(offers="", answer=refuse) as (target, _):
        assert target.read_many([(BASE, 4), (BASE + 12, 4)]) == [NOP.to_bytes(4, "little"), SELF.to_bytes(4, "little")]
        assert target.run(lambda _: False, until=BASE + 8) == Stop(StopReason.ADDRESS, BASE + 8)
        assert refused == [b"m8000,4", b"m800c,4", b"vCont;c"]


def test_a_stub_that_takes_nothing_is_told():
    with attached(offers="", answer=only(b"m", b"-")) as (target, stub):
        message = f"the stub at {stub.address} did not take b'm8000,4', which was sent 3 times"
        with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
            target.read_memory(BASE, 4)


def test_a_connection_that_ends_in_mid_batch_is_lost():
    with attached(answer=only(b"m800c", HANG_UP)) as (target, stub):
        message = f"the stub at {stub.address} closed the connection"
        with lost(message):
            target.read_many([(BASE, 4), (BASE + 12, 4)])
        with lost(message):
            target.read_registers()


def test_a_stub_that_says_nothing_is_lost():
    fake = FakeTarget([NOP], base=BASE)
    with Stub(fake, answer=only(b"m", b"")) as stub:
        target = GdbRemoteTarget.connect(stub.address, timeout=SHORT)
        with lost(f"the stub at {stub.address} does not answer") as caught:
            target.read_memory(BASE, 4)
        assert caught.value.hint == "is a GDB stub there, and does no other debugger hold it?"
        target.detach()


def test_what_is_no_stub_is_shown():
    fake = FakeTarget([NOP], base=BASE)
    with Stub(fake, answer=lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as stub:
        message = f"the stub at {stub.address} does not answer; it sent b'HTTP/1.1 400 Bad Request\\r\\n\\r\\n'"
        with lost(message):
            GdbRemoteTarget.connect(stub.address, timeout=SHORT)


def test_nobody_who_listens_is_told():
    with Stub(FakeTarget([NOP], base=BASE)) as stub:
        address = stub.address
    with lost(f"no GDB stub answers at {address}: Connection refused") as caught:
        GdbRemoteTarget.connect(address)
    assert caught.value.hint.startswith("start it first, for example `qemu-system-arm -S -gdb tcp:127.0.0.1:1234")


@pytest.mark.parametrize("text", ["", "1234", "host", "host:", "host:0", "host:65536", "host:12x", "::1:1234"])
def test_an_address_that_makes_no_sense_is_told(text: str):
    message = f"wanted HOST:PORT of a GDB stub, got {text!r}"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        parse_address(text)


def test_addresses_are_read():
    assert parse_address(":1234") == ("127.0.0.1", 1234)
    assert parse_address("board.lan:3333") == ("board.lan", 3333)
    assert parse_address("[::1]:3333") == ("::1", 3333)


# --- commands for the server


def hexadecimal(text: str) -> bytes:
    return text.encode().hex().encode()


def test_a_command_may_change_registers_and_what_was_written_before_it_counts():
    def answer(request: bytes) -> bytes | None:
        if not request.startswith(b"qRcmd,"):
            return None
        registers = stub.target.read_registers()
        seen.append(registers.r0)
        registers.pc = BASE + 8
        stub.target.write_registers(registers)
        return packet(b"O" + hexadecimal("halted\n")) + packet(b"OK")

    seen: list[int] = []
    with attached() as (target, stub):
        stub.answer = answer
        registers = target.read_registers()
        registers.r0 = 77
        target.write_registers(registers)
        assert target.monitor("reset halt") == "halted\n"
        assert seen == [77]
        assert target.read_registers().pc == BASE + 8
        assert b"qRcmd," + hexadecimal("reset halt") in stub.requests


def test_a_command_that_is_empty_is_not_sent():
    with attached() as (target, stub), pytest.raises(UsageError, match=r"^a command for the stub is empty$"):
        target.monitor(" ")
    assert not any(request.startswith(b"qRcmd") for request in stub.requests)


def test_a_command_that_ends_the_program_is_told():
    with attached() as (target, stub):
        stub.answer = lambda came: {b"q": packet(b"OK"), b"?": packet(b"W00")}.get(came[:1])
        with pytest.raises(TargetError, match=r"^the program at \S+ has ended with the command 'shutdown'$"):
            target.monitor("shutdown")
