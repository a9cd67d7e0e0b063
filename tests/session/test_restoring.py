"""A connection that breaks at any request, and `restore` over the next one: against a stub in this process."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
from tests.probes.interrupted import BASE, SITES, SLOTS, WORDS
from tests.targets.stub import HANG_UP, Stub, packet

import armprobe
from armprobe import Image, Session
from armprobe.cli.main import main
from armprobe.errors import Refused, TargetLost
from armprobe.session.journal import Owner, default_path, holding
from armprobe.targets import connection
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import Left, OfProcess, Words

_SOURCE = str(Path(armprobe.__file__).parent)
IMAGE = Image.from_words(WORDS, base=BASE, name="loop.elf")


@contextmanager
def serving() -> Iterator[Stub]:
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(SLOTS)
    with Stub(fake, packet_size=0x1000) as stub:
        yield stub


def attach(stub: Stub, **options: object) -> Session:
    return armprobe.attach_gdb(stub.address, IMAGE, slots=[SLOTS], **options)


def contents(stub: Stub) -> list[bytes]:
    return [stub.target.read_memory(region.start, region.end - region.start) for region in stub.target.regions]


def live(session: Session) -> None:
    with session:
        counters = session.count_all(SITES[:3])
        session.probe(SITES[4], lambda _: None, post_handler=lambda _: None)
        session.run(until=SITES[4])
        session.optimize_now()
        session.run(until=SITES[6])
        counters[0].park()
        counters[1].unregister()


def hang_up_at(stub: Stub, request: int) -> None:
    """Have the stub close the connection instead of answering a request; the ones after it are answered."""
    seen = 0

    def answer(_: bytes) -> bytes | None:
        nonlocal seen
        seen += 1
        return HANG_UP if seen == request else None

    stub.answer = answer


@pytest.mark.slow
def test_a_connection_that_breaks_at_any_request_is_followed_by_a_complete_restore():
    with serving() as stub:
        before = contents(stub)
        live(attach(stub))
        number = len(stub.requests)
        assert contents(stub) == before
    assert number > 150
    for request in range(1, number + 1):
        with serving() as stub:
            hang_up_at(stub, request)
            with suppress(TargetLost):
                live(attach(stub))
            done = armprobe.restore(stub.address)
            assert done is None or done.complete, f"hang_up_at(stub, {request})"
            assert contents(stub) == before, f"hang_up_at(stub, {request})"
            assert stub.breakpoints == set(), f"hang_up_at(stub, {request})"
            assert armprobe.restore(stub.address) is None, f"hang_up_at(stub, {request})"


def interrupt_at_line(number: int) -> Callable[[FrameType, str, object], object]:
    """A trace function that lets Ctrl-C come when armprobe executes its line `number`."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> object:
        nonlocal lines
        if _SOURCE not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines += 1
            if lines == number:
                signal.raise_signal(signal.SIGINT)
        return trace

    trace.lines = lambda: lines
    return trace


def live_traced(stub: Stub, trace: Callable[[FrameType, str, object], object]) -> bool:
    """Whether Ctrl-C was raised in a session that was traced."""
    session = attach(stub)
    sys.settrace(trace)
    try:
        live(session)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
        session.close()
    return False


@pytest.mark.slow
def test_ctrl_c_at_any_line_leaves_nothing_behind():
    with serving() as stub:
        before = contents(stub)
        live(attach(stub))
        trace = interrupt_at_line(0)
        live_traced(stub, trace)
        number = trace.lines()
    assert number > 10_000
    raised = 0
    for line in random.Random(7).sample(range(1, number), 150):
        with serving() as stub:
            raised += live_traced(stub, interrupt_at_line(line))
            assert contents(stub) == before, f"interrupt_at_line({line})"
            assert stub.breakpoints == set(), f"interrupt_at_line({line})"
            assert not default_path(stub.address).exists(), f"interrupt_at_line({line})"
    assert raised > 100


def lose(stub: Stub) -> None:
    """Leave a branch and a trap behind."""
    session = attach(stub)
    session.count(SITES[0])
    session.optimize_now()
    session.probe(SITES[2], lambda _: None)
    hang_up_at(stub, 1)
    with pytest.raises(TargetLost) as lost:
        session.run()
    assert lost.value.hint == f"`armprobe restore --gdb {stub.address}` undoes it"
    session.close()
    stub.answer = lambda _: None


def test_a_session_on_a_target_that_was_not_restored_is_refused(capsys):
    with serving() as stub:
        before = contents(stub)
        lose(stub)
        assert contents(stub) != before
        came = len(stub.requests)
        who = f"a session on {stub.address} (loop.elf, process {os.getpid()})"
        message = f"{who} did not end, and its changes are still there"
        with pytest.raises(Refused, match=f"^{re.escape(message)}$") as refused:
            attach(stub)
        assert refused.value.hint == f"`armprobe restore --gdb {stub.address}` undoes them"
        assert refused.value.evidence == str(default_path(stub.address))
        assert len(stub.requests) == came, "the target was asked something"
        assert main(["restore", "--gdb", stub.address]) == 0
        printed = capsys.readouterr().out
        assert printed == "put 1 word of code back, took 1 breakpoint away, gave 32,768 bytes of memory back\n"
        assert contents(stub) == before
        assert stub.breakpoints == set()
        attach(stub).close()
        assert not default_path(stub.address).exists()


def test_a_place_that_somebody_changed_meanwhile_is_left_alone_and_listed(capsys):
    with serving() as stub:
        lose(stub)
        stub.target.write_memory(SITES[0], b"\x01\x00\xa0\xe3")
        assert main(["restore", "--gdb", stub.address]) == 1
        error = capsys.readouterr().err
        assert f"error[AP300]: 1 change could not be undone at {stub.address}; nothing else is left\n" in error
        assert f"0x{SITES[0]:08x} held 0xe1a00000, and holds 0xe3a00001, which is not ours\n" in error
        assert stub.target.read_memory(SITES[0], 4) == b"\x01\x00\xa0\xe3"
        with pytest.raises(Refused):
            attach(stub)
        stub.target.write_memory(SITES[0], WORDS[1].to_bytes(4, "little"))
        assert main(["restore", "--gdb", stub.address]) == 0
        attach(stub).close()


def test_a_target_that_was_restarted_since_is_told_apart(capsys):
    with serving() as stub:
        lose(stub)
        for region in stub.target.regions:
            stub.target.write_memory(region.start, bytes(region.end - region.start))
        stub.target.write_memory(BASE, b"".join(word.to_bytes(4, "little") for word in WORDS))
        stub.target.write_memory(SLOTS.start, b"a new program")
        assert main(["restore", "--gdb", stub.address]) == 0
        assert capsys.readouterr().out == "the target was restarted since: nothing of the session is left in it\n"
        assert stub.target.read_memory(SLOTS.start, 13) == b"a new program"
        attach(stub).close()


def test_two_sessions_on_one_target_are_refused():
    with serving() as stub, attach(stub):
        message = f"another session of armprobe, process {os.getpid()}, works on {stub.address}"
        for second in (lambda: attach(stub), lambda: armprobe.restore(stub.address)):
            with pytest.raises(Refused, match=f"^{re.escape(message)} ") as refused:
                second()
            assert refused.value.hint == "end it first: it restores what it changed"


def test_nothing_is_left_of_a_session_that_only_looked():
    with serving() as stub:
        session = attach(stub)
        with session:
            assert session.explain(SITES[0]).state == "branch"
            assert default_path(stub.address).exists()
        assert not default_path(stub.address).exists()


def test_the_end_of_the_program_leaves_nothing_to_restore():
    with serving() as stub:
        session = attach(stub)
        session.count(SITES[0])
        session.optimize_now()
        stub.answer = lambda request: b"+" * stub._acknowledges + packet(b"W07") if request[:7] == b"vCont;c" else None
        stop = session.run()
        assert (stop.reason, stop.exit_code, stop.gone) == (armprobe.StopReason.EXIT, 7, True)
        assert not default_path(stub.address).exists()


def test_restore_where_no_session_was_says_so(capsys):
    assert main(["restore", "--gdb", ":1"]) == 0
    assert capsys.readouterr().out == "no session left anything at :1\n"


@pytest.mark.parametrize("waiting", [True, False])
def test_who_restores_a_process_whose_stub_does_not_answer_is_told_why_and_loses_nothing(monkeypatch, waiting: bool):
    monkeypatch.setattr(connection, "_MOMENT", 0.01)
    monkeypatch.setattr(GdbRemoteTarget, "connect", partial(GdbRemoteTarget.connect, timeout=0.02))
    reason = (
        "it hears nobody while the program runs; `kill -INT 97`, where it runs, has the program stop at once, and does "
        "it no harm"
    )

    def enough(told: str) -> None:
        assert told == f"gdbserver does not answer: {reason}; waiting for its next stop, which Ctrl-C ends"
        raise KeyboardInterrupt

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        left = Words(((BASE, b"\1" * 4, b"\2" * 4),))
        with holding(address, None) as file:
            file.begin(Owner(address, False, "program", "", os.getpid()))
            file.note(OfProcess(97), left)
            file.close()
        with pytest.raises(KeyboardInterrupt if waiting else TargetLost) as lost:
            armprobe.restore(address, waits=enough if waiting else None)
        if not waiting:
            assert (lost.value.message, lost.value.hint) == (f"the stub at {address} does not answer", reason)
        with holding(address, None) as file:
            assert file.left == Left.of([OfProcess(97), left])
            file.close()
