"""Handlers in Python for programs under QEMU's user-mode emulator: threads ask, and nothing is stopped for them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.linux_programs import (
    THREADS,
    THREADS_SOURCE,
    WITH_SIGNALS,
    build,
    threads_calls,
    threads_output,
)

import armprobe
from armprobe import HandlerError, Refused, StopReason, TargetFault, TargetLost, UsageError
from armprobe.targets.useremulator import EMULATOR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(EMULATOR) and shutil.which("arm-none-eabi-gcc")), reason="needs qemu-arm and a compiler"
    ),
]

_ROUNDS = 300
_CHANGES, _CHANGING_ROUNDS = 2000, 3000
#: what the first thread of a program calls whose probes change
_ASK = """
__attribute__((noinline, used)) void ask(unsigned n) { asm volatile("" :: "r"(n)); }
__attribute__((noinline, used)) long self(void) { return sys(20, 0, 0, 0, 0); }
__attribute__((naked, noinline, used)) void spot(void) { asm("mov r3, #77\\n nop\\n nop\\n mov r3, #0\\n bx lr"); }
"""
_SIGNAL_ROUNDS = 100_000
#: calls work 100 times and prints the result
_CALLS = """
void _start(void)
{
    unsigned x = 7;
    for (unsigned n = 0; n < 100; n++)
        x = work(n, x);
    print(x);
    sys(EXIT_GROUP, 3, 0, 0, 0);
}
"""


#: never called by the program
_HELPER = "__attribute__((noinline, used)) unsigned helper(unsigned a, unsigned b) { return work(0, 0) + 3 * a + b; }\n"

#: before the program of threads: it does not wait for them, but calls work 20 times, and exits or executes another one
_ENDS_EARLY = """
__attribute__((noinline, used)) long self(void) { return sys(20, 0, 0, 0, 0); }
static char *const argv[] = {"sh", "-c", "exit 9", 0};
#define START pthread_create
#define BEFORE
#define AFTER
#define MEANWHILE \\
    for (unsigned n = 0; n < 20; n++) \\
        work(n, 0); \\
    if (HOW == 0) \\
        sys(EXIT_GROUP, 4, 0, 0, 0); \\
    if (HOW == 1) \\
        sys(11, (long)"/bin/sh", (long)argv, 0, 0);
"""

#: ends with 1 where Z is set at `choose`, with 2 otherwise; with more where its stack pointer is not 64 bytes lower
_CONDITIONAL = """
__attribute__((naked)) void _start(void)
{
    asm("mov r4, sp\\n movs r0, #1\\n.global choose\\n.type choose, %function\\nchoose: nop\\n"
        "moveq r0, #1\\n movne r0, #2\\n add sp, sp, #64\\n cmp sp, r4\\n addne r0, r0, #4\\n mov r7, #1\\n svc 0");
}
"""


#: calls work with pointers to what it may change, to nothing, and to what it may only read; prints the first
_TEXTS = """
static char text[] = "in the program";
static const char fixed[] = "a constant";
void _start(void)
{
    work((unsigned)text, 0);
    work(16, 0);
    work(0xffffffff, 0);
    work((unsigned)fixed, 0);
    sys(WRITE, 1, (long)text, 14, 0);
    sys(EXIT, 0, 0, 0, 0);
}
"""


def calls_output(*, first: int = 0, more: int = 0) -> str:
    """What it prints, when the calls before that were refused, and each gives so much `more`."""
    x = 7
    for n in range(first, 100):
        x = (x * 1664525 + n + more) & 0xFFFFFFFF
    return f"{x:08x}\n"


def return_of(session: armprobe.Session, function: str) -> int:
    """The first `bx lr` of a function."""
    start = session.locate(function)
    return next(place for place in range(start, start + 64, 4) if session.read_memory(place, 4) == b"\x1e\xff\x2f\xe1")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return build(_CALLS, tmp_path, "calls")


@pytest.fixture(params=["start", "pthread_create"])
def threads(request, tmp_path: Path) -> Path:
    """A program that is let go before it starts threads, by the name of the function that does, or not."""
    return threads_program(tmp_path, request.param)


@pytest.fixture
def spawn(tmp_path: Path):
    """Start a program whose output goes to a file; give the session, and what there is of the output."""
    files = []

    def start(program: Path) -> armprobe.Session:
        files.append((tmp_path / "output").open("wb"))
        session = armprobe.spawn([program], stdout=files[-1])
        files.append(session)
        return session

    yield start
    for file in files:
        file.close()


def test_all_threads_are_handled_with_the_registers_that_they_have(threads: Path, tmp_path: Path, spawn):
    session = spawn(threads)
    seen, results = Counter(), Counter()

    def before(hit):
        seen[hit.regs.r0, (hit.regs.r1 * 1664525 + hit.regs.r0) & 0xFFFFFFFF] += 1

    def returns(hit):
        results[hit.regs.r0] += 1
        assert hit.regs.pc == hit.address

    handled = session.probe("work", before)
    returned = session.probe(return_of(session, "work"), returns)
    assert (handled.state, handled.reason) == ("branch", "")
    stop = session.run()
    assert (stop.reason, stop.exit_code, stop.gone) == (StopReason.EXIT, 7, True)
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS)
    assert handled.hits == returned.hits == threads_calls(_ROUNDS)
    assert handled.missed == returned.missed == 0
    expected = Counter(n for thread in range(THREADS) for n in range(_ROUNDS * (thread + 1)))
    numbers, computed = Counter(), Counter()
    for (number, result), times in seen.items():
        numbers[number] += times
        computed[result] += times
    # What each call computes is what it returns, for whoever asked.
    assert (numbers, results) == (expected, computed)


def test_threads_with_signals_and_a_condition_lose_no_hit(tmp_path: Path, spawn):
    program = build(WITH_SIGNALS + THREADS_SOURCE, tmp_path, "signals", THREADS=THREADS, ROUNDS=_SIGNAL_ROUNDS)
    session = spawn(program)
    seen = []
    ticks = session.probe("tick", lambda hit: None)
    some = session.probe("work", lambda hit: seen.append(hit.regs.r0), when=lambda r0: r0 % 1000 == 7)
    assert session.explain("work").handlers == (
        "ask where the condition holds", "host <lambda>(), asked while the program runs"
    )  # fmt: skip
    stop = session.run()
    assert (stop.reason, stop.exit_code, stop.message) == (StopReason.EXIT, 7, "")
    assert (tmp_path / "output").read_text() == "00000001\n" + threads_output(_SIGNAL_ROUNDS)
    expected = [n for thread in range(THREADS) for n in range(7, _SIGNAL_ROUNDS * (thread + 1), 1000)]
    assert sorted(seen) == sorted(expected)
    assert (some.hits, some.missed, ticks.missed) == (len(expected), 0, 0)
    assert ticks.hits > 10


def test_a_handler_changes_registers_and_diverts(calls: Path, tmp_path: Path, spawn):
    session = spawn(calls)

    @session.probe("work")
    def refuse(hit):
        if hit.regs.r0 >= 60:
            return False
        hit.regs.r0, hit.regs.pc = 7, hit.regs.lr
        return True

    executed = session.count("work+4")
    assert session.run().exit_code == 3
    assert (tmp_path / "output").read_text() == calls_output(first=60)
    assert (refuse.hits, executed.hits) == (100, 40)


def test_flags_and_the_stack_pointer_are_as_the_handler_leaves_them(tmp_path: Path, spawn):
    session = spawn(build(_CONDITIONAL, tmp_path, "conditional"))

    @session.probe("choose")
    def choose(hit):
        hit.regs.cpsr ^= 1 << 30
        hit.regs.sp -= 64

    # The flag Z was clear; the function gives its result by it, and its stack pointer.
    assert session.run().exit_code == 1


def test_a_handler_that_raises_ends_the_run_and_the_program(threads: Path, tmp_path: Path, spawn):
    session = spawn(threads)
    count = session.count("work+4")

    @session.probe("work")
    def fails(hit):
        if fails.hits == 5:
            raise ValueError("five is enough")

    with pytest.raises(HandlerError, match=r"^the handler at work raised ValueError: five is enough$"):
        session.run()
    assert fails.hits == 5
    assert 0 < count.hits < threads_calls(_ROUNDS)
    assert (tmp_path / "output").read_bytes() == b""


def test_ctrl_c_leaves_a_handler_that_loops_for_ever_and_counts_are_there(threads: Path, tmp_path: Path, spawn):
    session = spawn(threads)
    count = session.count("work+4")

    @session.probe("work")
    def hangs(hit):
        if hangs.hits == 5:
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            while True:
                pass

    stop = session.run()
    assert (stop.reason, stop.pc, stop.gone) == (StopReason.INTERRUPT, session.symbols.named("work")[0].address, True)
    assert stop.message == "Ctrl-C left a handler that had not returned"
    assert (hangs.hits, count.hits > 0) == (5, True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (tmp_path / "output").read_bytes() == b""


_BLOCKS = """
import armprobe, os, sys, threading
with armprobe.spawn([sys.argv[1]]) as session:
    session.define("p:there work+4 n=%r0")
    session.optimization = sys.argv[2] != "stopped"
    probe = session.probe("work", lambda hit: print("blocked", flush=True) or threading.Event().wait())
    print(probe.state, flush=True)
    stop = session.run()
    print(stop.reason.name, stop.message, probe.hits, len(list(session.events())), flush=True)
"""


@pytest.mark.parametrize(
    ("how", "send", "number"),
    [
        ("threads", os.kill, signal.SIGINT),
        ("threads", os.killpg, signal.SIGINT),
        ("threads", os.kill, signal.SIGTERM),
        ("asked", os.kill, signal.SIGINT),
        ("stopped", os.kill, signal.SIGINT),
    ],
    ids=lambda value: getattr(value, "__name__", None) or getattr(value, "name", None),
)
def test_a_handler_that_blocks_for_ever_hangs_nothing(tmp_path: Path, how: str, send, number: int):
    source = THREADS_SOURCE if how == "threads" else _CALLS
    program = build(source, tmp_path, "program", THREADS=THREADS, ROUNDS=_ROUNDS)
    process = subprocess.Popen(
        [sys.executable, "-c", _BLOCKS, program, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    )
    assert process.stdout is not None
    assert process.stdout.readline() == (b"trap\n" if how == "stopped" else b"branch\n")
    assert process.stdout.readline() == b"blocked\n"
    while process.poll() is None:
        send(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)  # a second one counts within two, and a third one is for whoever cleans up
    # They end when nobody has the other end any more, the program neither.
    out, errors = process.communicate(timeout=30)
    if number == signal.SIGINT:
        assert out == b"INTERRUPT Ctrl-C left a handler that had not returned 1 0\n", errors
    else:
        assert process.returncode == -number


def test_a_handler_stops_a_program_where_it_is_and_it_runs_on(calls: Path, tmp_path: Path, spawn):
    session = spawn(calls)
    count = session.count("work+4")

    @session.probe("work")
    def tenth(hit):
        if tenth.hits == 10:
            session.stop()

    stop = session.run()
    assert (stop.reason, stop.gone, tenth.hits) == (StopReason.INTERRUPT, False, 10)
    assert count.hits in (9, 10)
    assert (session.locate("work") <= session.regs.pc <= session.locate("work") + 8, session.regs.r0) == (True, 9)
    assert session.run().exit_code == 3
    assert (tenth.hits, count.hits) == (100, 100)
    assert (tmp_path / "output").read_text() == calls_output()


def threads_program(folder: Path, start: str, *, rounds: int = _ROUNDS) -> Path:
    """Four threads that are started by the function `start`."""
    source = f"#define START {start}\n#define BEFORE\n#define AFTER\n" + THREADS_SOURCE
    return build(source, folder, "threads", THREADS=THREADS, ROUNDS=rounds)


def test_a_handler_that_stops_a_program_with_threads_that_nobody_saw_start_ends_it(tmp_path: Path, spawn):
    session = spawn(threads_program(tmp_path, "start"))
    tenth = session.probe("work", lambda hit: session.stop() if tenth.hits == 10 else None)
    stop = session.run()
    assert (stop.reason, stop.gone, tenth.hits) == (StopReason.INTERRUPT, True, 10)
    assert (tmp_path / "output").read_bytes() == b""


def test_a_thread_stays_where_its_handler_stops_it_while_the_others_run_on(tmp_path: Path, spawn):
    session = spawn(threads_program(tmp_path, "pthread_create"))
    numbers, later = [], []
    total = session.count("work")

    @session.probe("work+8")
    def stops(hit):
        if stops.hits % 100 == 0:
            numbers.append(hit.regs.r0)
            session.stop()

    while not (stop := session.run()).gone:
        assert (stop.reason, stop.pc) == (StopReason.INTERRUPT, session.locate("work+8"))
        assert (session.regs.pc, session.regs.r0) == (stop.pc, numbers[-1])
        assert session.read_memory(stop.pc, 4) == bytes.fromhex("930120e0")  # mla r0, r3, r1, r0
        assert stops.hits == 100 * len(numbers)
        assert 0 <= total.hits - stops.hits <= THREADS
        if len(numbers) % 2:
            later.append(session.count("work+4"))
        else:
            later[-1].unregister()
    assert (stop.exit_code, stops.hits, total.hits) == (7, threads_calls(_ROUNDS), threads_calls(_ROUNDS))
    assert len(numbers) == threads_calls(_ROUNDS) // 100
    # Each was there for as long as work+8 was hit a hundred times.
    assert all(abs(probe.hits - 100) <= THREADS for probe in later)
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS)


def test_a_run_ends_where_the_first_of_several_threads_comes_to_a_place(tmp_path: Path, spawn):
    session = spawn(threads_program(tmp_path, "pthread_create"))
    total, there, seen = session.count("work"), session.count("work+4"), []
    for _ in range(5):
        stop = session.run(until="work+4")
        assert (stop.reason, stop.pc, session.regs.pc) == (StopReason.ADDRESS, *2 * (session.locate("work+4"),))
        seen.append(session.regs.r0)
        assert session.probes == (total, there)
    assert set(seen) <= set(range(5))
    assert session.run().exit_code == 7
    assert total.hits == there.hits == threads_calls(_ROUNDS)
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS)


def test_a_place_where_no_thread_can_ask_ends_no_run_of_several_threads(tmp_path: Path, spawn):
    session = spawn(threads_program(tmp_path, "pthread_create"))
    session.optimization = False
    with pytest.raises(Refused, match=r"^a run of several threads can't end at work\+0x4"):
        session.run(until="work+4")


def test_leaving_while_a_thread_stays_ends_the_program(tmp_path: Path):
    end, output = os.pipe()
    with armprobe.spawn([threads_program(tmp_path, "pthread_create", rounds=100_000)], stdout=output) as session:
        os.close(output)
        count = session.count("work")
        session.probe("work+4", lambda hit: session.stop())
        assert session.run().reason is StopReason.INTERRUPT
    assert os.read(end, 1) == b""  # which ends when nobody has the other end any more
    os.close(end)
    assert count.hits >= 1


def test_a_command_ends_where_the_first_of_several_threads_comes_to_a_place(tmp_path: Path):
    program = threads_program(tmp_path, "pthread_create")
    code = "from armprobe.cli.main import main; raise SystemExit(main())"
    outcome = subprocess.run(
        [sys.executable, "-c", code, "stat", "--spawn", "-e", "work", "--until", "work+4", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert "; the program came to work+0x4" in outcome.stderr
    assert re.search(r"^ *[1-4] +\d+ +branch +0x\w+ +work$", outcome.stderr, re.MULTILINE)


def test_memory_is_read_and_written_and_what_is_none_is_a_fault(tmp_path: Path, spawn):
    session = spawn(build(_TEXTS, tmp_path, "texts"))
    seen = []

    @session.probe("work")
    def look(hit):
        try:
            seen.append(hit.string(hit.regs.r0))
            hit.write(hit.regs.r0, b"I")
        except TargetFault as fault:
            seen.append(fault.address)

    assert session.run().exit_code == 0
    assert seen == ["in the program", 0x10, 0xFFFFFFFF, "a constant"]
    assert (tmp_path / "output").read_bytes() == b"In the program"


def test_a_handler_plants_and_removes_probes_of_a_program_without_threads(calls: Path, tmp_path: Path, spawn):
    session = spawn(calls)
    added = []

    @session.probe("work")
    def third(hit):
        if hit.regs.r0 == 3:
            added.append(session.count("work+4"))
        elif hit.regs.r0 == 5:
            third.unregister()

    assert session.run().exit_code == 3
    assert (third.hits, added[0].hits) == (6, 97)
    assert (tmp_path / "output").read_text() == calls_output()


class Changing:
    """A program of four threads, and a first one that calls `ask(n)`, then `work(n, MARK)`, _CHANGES times meanwhile.

    So many calls have the mark; what is promised to a handler of `ask` is seen in the call after it.
    """

    MARK = 0xABC

    def __init__(self, folder: Path, spawn, start: str) -> None:
        self.output = folder / "output"
        meanwhile = f"for (unsigned n = 0; n < {_CHANGES}; n++) {{ ask(n); spot(); work(n, {self.MARK}); }}"
        source = f"#define START {start}\n#define BEFORE\n#define AFTER\n#define MEANWHILE {meanwhile}\n{_ASK}"
        program = build(source + THREADS_SOURCE, folder, "changing", THREADS=THREADS, ROUNDS=_CHANGING_ROUNDS)
        self.session = spawn(program)
        #: of everybody's calls
        self.total = self.session.count("work")

    def run(self) -> None:
        assert self.session.run().exit_code == 7
        assert self.output.read_text() == threads_output(_CHANGING_ROUNDS)
        assert self.total.hits == threads_calls(_CHANGING_ROUNDS) + _CHANGES


@pytest.fixture(params=["start", "pthread_create"])
def changing(request, tmp_path: Path, spawn) -> Changing:
    return Changing(tmp_path, spawn, request.param)


def test_probes_are_switched_two_thousand_times_while_threads_run_through_them(changing: Changing):
    session = changing.session
    marked = session.probe("work+4", lambda hit: None, when=lambda r1: r1 == 0xABC)
    all_of_them = session.count("work+8")
    same_place = session.count("work")

    @session.probe("ask")
    def switch(hit):
        n = hit.regs.r0
        for probe in (marked, all_of_them):
            (probe.enable if n % 2 else probe.disable)()
        assert marked.state == all_of_them.state == ("branch" if n % 2 else "disabled")
        if n % 10 == 3:
            # Another probe stays there: its place gets code for the one, or for both.
            (same_place.enable if n % 20 == 3 else same_place.disable)()

    changing.run()
    assert (switch.hits, switch.missed) == (_CHANGES, 0)
    assert (marked.hits, marked.missed) == (_CHANGES // 2, 0)
    for probe in (all_of_them, same_place):
        assert _CHANGES // 2 <= probe.hits <= changing.total.hits


def test_probes_are_planted_and_removed_while_threads_run_through_their_places(changing: Changing):
    session = changing.session
    seen, counts, removed = [], [], []
    words = [session.read_memory(session.locate("work") + at, 4) for at in range(0, 16, 4)]

    @session.probe("ask")
    def plant(hit):
        n = hit.regs.r0
        if n % 20 == 1:
            counts.append(session.define(f"p:at{n} work+{4 + n // 20 % 3 * 4} if %r1 == 0xabc"))
            removed.append(session.probe("work+8", lambda hit: seen.append(hit.regs.r0), when=lambda r1: r1 == 0xABC))
        elif n % 20 == 3:
            for probe in (counts[-1], removed[-1]):
                probe.unregister()
            assert [session.read_memory(session.locate("work") + at, 4) for at in range(0, 16, 4)] == words

    changing.run()
    # From the call after the handler that planted them up to that before the one that removed them.
    assert [probe.hits for probe in counts] == [2] * (_CHANGES // 20)
    assert seen == [n for n in range(_CHANGES) if n % 20 in (1, 2)]
    assert sum(probe.missed for probe in removed) == 0


def test_a_program_may_end_while_a_handler_changes_probes(changing: Changing):
    session = changing.session
    probe = session.count("work+4")

    @session.probe("ask")
    def switch(hit):
        if hit.regs.r0 == 5:
            os.kill(hit.call(session.locate("self")), signal.SIGKILL)
            while True:
                probe.disable()
                probe.enable()

    stop = session.run()
    assert (stop.reason, stop.signal, stop.gone, switch.hits) == (StopReason.EXIT, signal.SIGKILL, True, 6)
    assert probe.hits > 0


def test_a_probe_that_was_switched_off_leaves_alone_what_a_new_one_looks_at(changing: Changing):
    session = changing.session
    # Nothing of the program needs r3 there.
    count, probes, seen = session.count("spot+4"), [], []

    @session.probe("ask")
    def switch(hit):
        if hit.regs.r0 == 5:
            count.disable()
        elif hit.regs.r0 == 6:
            probes.append(session.probe("spot+8", lambda hit: seen.append(hit.regs.r3)))
        elif hit.regs.r0 == 7:
            count.enable()
        elif hit.regs.r0 == 9:
            probes.append(session.define("p:another spot+4 r3=%r3"))

    changing.run()
    assert count.hits == _CHANGES - 2
    assert seen == [77] * (_CHANGES - 6)
    assert {event.values["r3"] for event in session.events()} == {77}
    assert probes[1].hits == _CHANGES - 9


def test_returns_are_followed_and_left_alone_while_threads_run(changing: Changing):
    session = changing.session
    results, probes = Counter(), []

    @session.probe("ask")
    def plant(hit):
        n = hit.regs.r0
        if n % 100 == 1:
            probes.append(session.retprobe("work", lambda hit: results.update([hit.regs.r0]), maxactive=2 * THREADS))
        elif n % 100 == 3:
            probes[-1].disable()
        elif n % 100 == 5:
            probes[-1].enable()
        elif n % 100 == 7:
            probes[-1].unregister()

    changing.run()
    expected = [n + changing.MARK * 1664525 & 0xFFFFFFFF for n in range(_CHANGES) if n % 100 in (1, 2, 5, 6)]
    assert all(results[result] for result in expected)
    assert sum(probe.missed for probe in probes) == 0
    assert sum(results.values()) == sum(probe.hits for probe in probes)


def test_what_would_stop_one_of_several_threads_is_refused_with_the_reason(tmp_path: Path, spawn):
    changing = Changing(tmp_path, spawn, "pthread_create")
    session, reasons = changing.session, []

    @session.probe("ask")
    def plant(hit):
        if hit.regs.r0 == 5:
            with pytest.raises(Refused) as refused:
                session.optimization = False
            assert session.optimization
            reasons.append(refused.value.message)
            reasons.append(session.count("work+4").state)

    changing.run()
    assert reasons[0].startswith("other threads run, and can't be stopped for a change of code: a trap at 0x")
    assert reasons[1] == "branch"


def test_probes_are_enabled_all_or_none_while_threads_run(tmp_path: Path, spawn, monkeypatch):
    changing = Changing(tmp_path, spawn, "pthread_create")
    session, engine = changing.session, changing.session._engine
    ready, changed = session.count("work+4"), session.count("work+8")

    @session.probe("ask")
    def switch(hit):
        if hit.regs.r0 == 5:
            engine.disable([ready, changed])
            engine.add_actions({changed: changed.actions[0]})
            with monkeypatch.context() as patched:
                patched.setattr(engine.placement, "rebuild", refuse)
                with pytest.raises(Refused, match="no room"):
                    engine.enable([ready, changed])
            assert (ready.state, changed.state) == ("disabled", "disabled")
        elif hit.regs.r0 == 6:
            counts.append(ready.hits)
        elif hit.regs.r0 == 7:
            assert ready.hits <= counts[0] + THREADS  # on their way when it was switched off
            engine.enable([ready, changed])

    def refuse(*_arguments):
        raise Refused("no room")

    counts: list[int] = []
    changing.run()
    assert ready.hits >= _CHANGES - 7
    assert changed.hits >= 2 * (_CHANGES - 7)


def test_memory_that_may_not_be_written_is_a_fault_while_threads_run(tmp_path: Path, spawn):
    changing = Changing(tmp_path, spawn, "pthread_create")
    session, faults = changing.session, []

    @session.probe("ask")
    def write(hit):
        if hit.regs.r0 == 5:
            for place in (16, 0xFFFF0000):
                try:
                    hit.write(place, b"1234")
                except TargetFault as fault:
                    faults.append(fault.address)

    changing.run()
    assert faults == [16, 0xFFFF0000]


@pytest.mark.parametrize("start", ["start", "pthread_create"])
def test_a_handler_calls_functions_while_other_threads_run(tmp_path: Path, spawn, start: str):
    source = f"#define START {start}\n#define BEFORE\n#define AFTER\n" + _HELPER + THREADS_SOURCE
    session = spawn(build(source, tmp_path, "threads", THREADS=THREADS, ROUNDS=_ROUNDS))
    helper, results = session.locate("helper"), []
    inner = session.count("helper")
    handled = session.probe("work", lambda hit: results.append((hit.regs.r0, hit.call(helper, hit.regs.r0, 5))))
    assert session.run().exit_code == 7
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS)
    # What the helper calls is missed, and so are other threads meanwhile.
    assert handled.missed == threads_calls(_ROUNDS)
    assert inner.hits == handled.hits == len(results) > 0
    assert all(result == 3 * n + 5 for n, result in results)


def test_a_handler_calls_a_function_that_has_handlers_of_its_own(calls: Path, tmp_path: Path, spawn):
    session = spawn(calls)
    work, results = session.locate("work"), []

    @session.probe("work")
    def again(hit):
        results.append(hit.call(work, 1, 2))

    assert session.run().exit_code == 3
    assert (tmp_path / "output").read_text() == calls_output()
    assert (again.hits, again.missed, set(results)) == (100, 100, {2 * 1664525 + 1})


def test_returns_of_all_threads_are_handled_and_their_results_changed(threads: Path, tmp_path: Path, spawn):
    session = spawn(threads)
    seen = Counter()

    def changes(hit):
        seen[hit.entry] += 1
        hit.retval += 1

    probe = session.retprobe("work", changes, entry=lambda hit: hit.regs.r0)
    counted = session.define("r:counted work")
    assert session.run().exit_code == 7
    assert probe.hits == counted.hits == threads_calls(_ROUNDS)
    assert (probe.missed, counted.missed) == (0, 0)
    assert seen == Counter(n for thread in range(THREADS) for n in range(_ROUNDS * (thread + 1)))
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS, more=1)


def test_calls_that_do_not_begin_or_come_back_elsewhere_leave_no_pad_behind(threads: Path, tmp_path: Path, spawn):
    session = spawn(threads)
    refused = 0

    @session.probe("work")
    def refuse(hit):
        nonlocal refused
        if hit.regs.r0 % 3 == 0:
            refused += 1
            hit.regs.r0, hit.regs.pc = 5, hit.regs.lr
            return True
        return None

    # Both follow each call, and the first handler diverts control: the second has no turn.
    inner = session.retprobe("work", lambda hit: True, maxactive=THREADS)
    outer = session.retprobe("work", lambda hit: True, maxactive=THREADS)
    assert session.run().exit_code == 7
    assert refuse.hits == threads_calls(_ROUNDS)
    assert inner.hits + outer.hits == threads_calls(_ROUNDS) - refused
    # A pad that is left behind would be missing soon.
    assert (outer.missed, inner.missed) == (0, 0)


def test_a_map_is_not_changed_from_both_sides_while_threads_run(calls: Path, spawn):
    session = spawn(calls)
    sizes = session.counter("sizes")

    def measure(r0):
        sizes.add(r0)

    session.probe("work", measure, compiled=True)
    with pytest.raises(Refused, match=r"^the map .sizes. would be changed by compiled code and by a handler"):
        session.probe("work", session.on_host(measure))


def test_a_handler_that_is_not_compiled_adds_up_what_all_threads_do(threads: Path, spawn):
    session = spawn(threads)
    sizes = session.counter("sizes")

    def measure(r0):
        sizes.add(r0)
        if r0 == 11:
            emit(number=r0)  # noqa: F821  word of the language

    probe = session.probe("work", session.on_host(measure))
    assert session.run().exit_code == 7
    assert probe.hits == threads_calls(_ROUNDS)
    assert sizes.total == sum(sum(range(_ROUNDS * (thread + 1))) for thread in range(THREADS))
    assert [event.values["number"] for event in session.events()] == [11] * THREADS


@pytest.mark.parametrize("how", ["exits", "executes", "is killed"])
def test_a_program_ends_while_its_threads_wait_for_handlers(tmp_path: Path, spawn, how: str):
    number = ("exits", "executes", "is killed").index(how)
    session = spawn(build(_ENDS_EARLY + THREADS_SOURCE, tmp_path, "early", THREADS=THREADS, ROUNDS=100_000, HOW=number))

    @session.probe("work")
    def look(hit):
        if how == "is killed" and look.hits == 20:
            os.kill(hit.call(session.locate("self")), signal.SIGKILL)

    stop = session.run()
    assert stop.reason is StopReason.EXIT
    assert (stop.exit_code, stop.signal) == {"exits": (4, 0), "executes": (9, 0), "is killed": (None, 9)}[how]
    assert look.hits >= 20


def test_handlers_after_an_instruction_see_what_it_did(threads: Path, tmp_path: Path, spawn):
    session = spawn(threads)
    work, seen = session.locate("work"), Counter()
    multiplier = 1664525 & 0xFFFF
    after = session.probe("work", post_handler=lambda hit: seen.update([(hit.regs.r3 & 0xFFFF, hit.regs.pc)]))
    assert session.run().exit_code == 7
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS)
    assert after.hits == threads_calls(_ROUNDS)
    assert seen == Counter({(multiplier, work + 4): threads_calls(_ROUNDS)})


def test_a_handler_that_would_let_the_program_run_is_told_what_it_can_do(calls: Path, spawn):
    session = spawn(calls)
    session.probe("work", lambda hit: session.run())
    with pytest.raises(UsageError, match=r"^a handler can't let the program run on$"):
        session.run()


@pytest.mark.parametrize("how", ["calls", "threads"])
def test_a_function_that_ends_the_program_ends_the_run_with_an_error(how: str, tmp_path: Path, spawn):
    source = _ENDS_EARLY + THREADS_SOURCE if how == "threads" else _HELPER + _CALLS
    session = spawn(build(source, tmp_path, how, THREADS=THREADS, ROUNDS=_ROUNDS, HOW=2))
    session.probe("work", lambda hit: hit.call(0x10))
    with pytest.raises(TargetLost):
        session.run()


def test_the_session_shows_the_program_at_the_place_of_the_handler(threads: Path, spawn):
    session = spawn(threads)
    work, places = session.locate("work"), Counter()
    session.probe("work", lambda hit: places.update([(session.regs.pc, session.regs.r0 == hit.regs.r0)]))
    session.probe(work + 4, post_handler=lambda hit: places.update([(session.regs.pc, True)]))
    assert session.run().exit_code == 7
    calls = threads_calls(_ROUNDS)
    assert places == {(work, True): calls, (work + 8, True): calls}


@pytest.mark.parametrize("start", ["pthread_create", ""], ids=["threads", "one thread"])
def test_handlers_of_returns_call_functions(start: str, tmp_path: Path, spawn):
    source = f"#define START {start}\n#define BEFORE\n#define AFTER\n" + _HELPER + THREADS_SOURCE
    program = build(source if start else _HELPER + _CALLS, tmp_path, "calling", THREADS=THREADS, ROUNDS=_ROUNDS)
    session = spawn(program)
    helper, results = session.locate("helper"), []

    def returned(hit):
        before = hit.regs.copy()
        results.append(hit.call(helper, 2, 3))
        assert hit.regs == before
        hit.retval += 1

    probe = session.retprobe("work", returned, maxactive=4 * THREADS)
    assert session.run().exit_code == (7 if start else 3)
    assert set(results) == {9}
    assert probe.hits == len(results)
    if not start:
        # The helper calls work as well, and that is missed.
        assert (probe.hits, probe.missed) == (100, 100)
        assert (tmp_path / "output").read_text() == calls_output(more=1)
