"""What processes do to probes: threads, children, signals, and ends of all kinds. Programs know their own counts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.integration.armel import make_root
from tests.integration.linux_programs import (
    SIGNAL_HANDLERS,
    THREADS,
    THREADS_SOURCE,
    WITH_SIGNALS,
    build,
    threads_calls,
    threads_output,
    threads_program,
)

import armprobe
from armprobe import Stop, StopReason
from armprobe.symbols.image import Image
from armprobe.targets.useremulator import EMULATOR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(EMULATOR) and shutil.which("arm-none-eabi-gcc")), reason="needs qemu-arm and a compiler"
    ),
]

_ROUNDS = 20_000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("armel"))


#: 100 calls, then 10 in the parent, 1000 in the child
_FORK = """
void _start(void)
{
    unsigned x = 0;
    for (unsigned n = 0; n < 100; n++)
        x = work(n, x);
    long child = sys(2, 0, 0, 0, 0), status = 0;
    for (unsigned n = 0; n < (child ? 10 : 1000); n++)
        x = work(n, x);
    if (!child)
        sys(EXIT_GROUP, 3, 0, 0, 0);
    sys(114, child, (long)&status, 0, 0);
    print(status);
    sys(EXIT_GROUP, 5, 0, 0, 0);
}
"""

#: `outer` forks, and returns twice; `twice` is called 10 times, then 5 times in the parent, 20 times in the child
_RETURNS = """
__attribute__((noinline)) long outer(void) { return sys(2, 0, 0, 0, 0); }
__attribute__((noinline)) unsigned twice(unsigned a) { return work(a, 1) + work(a, 2); }
void _start(void)
{
    unsigned x = 0;
    for (int i = 0; i < 10; i++)
        x += twice(i);
    long child = outer(), status = 0;
    for (int i = 0; i < (child ? 5 : 20); i++)
        x += twice(i);
    if (!child)
        sys(EXIT_GROUP, 3, 0, 0, 0);
    sys(114, child, (long)&status, 0, 0);
    print(status);
    sys(EXIT_GROUP, 5, 0, 0, 0);
}
"""

#: calls work 30,000 times; prints how often it gave -12, and how often another number
_REFUSALS = """
void _start(void)
{
    unsigned refused = 0, as_ever = 0, x = 0;
    for (unsigned n = 0; n < 30000; n++) {
        unsigned result = work(n, x);
        if (result == -12u)
            refused++;
        else
            as_ever += (x = result, 1);
    }
    print(refused);
    print(as_ever);
    sys(EXIT_GROUP, 0, 0, 0, 0);
}
"""

#: a timer's signal handler calls work, which the program calls without end; prints all calls, and the signals
_ALARM = (
    SIGNAL_HANDLERS
    + """
static volatile unsigned ticks;
void tick(int signal) { ticks++; work(signal, 3); }
void _start(void)
{
    handle(14, tick);
    long timer[4] = {0, 2000, 0, 2000}, off[4] = {0, 0, 0, 0};
    sys(104, 0, (long)timer, 0, 0);
    unsigned calls = 0;
    while (ticks < 50)
        work(calls++, 1);
    sys(104, 0, (long)off, 0, 0);
    print(calls + ticks);
    sys(EXIT_GROUP, 0, 0, 0, 0);
}
"""
)

_TERMINATES = "sys(37, sys(20, 0, 0, 0, 0), 15, 0, 0);\n"

#: ten loads fault; a handler of the program skips each and notes where it was
_FAULTS = (
    SIGNAL_HANDLERS
    + """
static volatile unsigned faults, place;
void on_fault(int signal, void *info, unsigned *context)
{
    unsigned *registers = context + 5 + 3;  /* ucontext: flags, link, stack; trap_no, error_code, oldmask */
    faults++;
    place = registers[15];
    registers[15] += 4;
}
__attribute__((naked, noinline)) unsigned load(unsigned *pointer)
{
    asm("nop\\n.global faulting\\n.type faulting, %function\\nfaulting: ldr r0, [r0]\\n bx lr");
}
void _start(void)
{
    handle(11, on_fault);
    for (int i = 0; i < 10; i++)
        load((unsigned *)16);
    print(place);
    sys(EXIT_GROUP, faults, 0, 0, 0);
}
"""
)

_ENDS = """
void _start(void)
{
    unsigned x = 0;
    for (int i = 0; i < 77; i++)
        x = work(i, x);
    print(x);
#if HOW == 0
    sys(EXIT, 6, 0, 0, 0);
#elif HOW < 64
    sys(37, sys(20, 0, 0, 0, 0), HOW, 0, 0);
    for (;;);
#elif HOW == 64
    char *argv[] = {"sh", "-c", "exit 9", 0};
    sys(11, (long)"/bin/sh", (long)argv, 0, 0);
#elif HOW == 65
    *(volatile int *)16 = 0;
#elif HOW == 66
    for (int file = 0; file < 300; file++)
        sys(6, file, 0, 0, 0);
    for (int i = 0; i < 77; i++)
        work(i, x);
    sys(EXIT, 4, 0, 0, 0);
#else
    asm volatile("bkpt");
#endif
}
"""

#: handles SIGINT, and goes on
_STUBBORN = (
    SIGNAL_HANDLERS
    + """
static volatile unsigned seen;
void on_interrupt(int signal) { seen++; print(seen); }
void _start(void)
{
    handle(2, on_interrupt);
    print(0);
    for (unsigned n = 0;; n++)
        work(n, 1);
}
"""
)

_READS = """
static char text[] = "in the program";
void _start(void)
{
    char *page = (char *)sys(45, 0, 0, 0, 0), *heap = page + 4090;  /* brk */
    sys(45, (long)page + 8192, 0, 0, 0);
    for (int i = 0; i < 15; i++)
        heap[i] = text[i] ^ ' ' * (text[i] >= 'a');
    work((unsigned)text, 0);
    work((unsigned)heap, 0);
    work((unsigned)page + 8190, 0);
    work(16, 0);
    work(0xffffffff, 0);
    sys(EXIT, 0, 0, 0, 0);
}
"""


def run(program: Path, output: Path, *, at: str = "work") -> tuple[Stop, int, bytes]:
    """Count at a place up to the program's end; its end, the count, and what it printed."""
    with output.open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        probe = session.count(at)
        session.optimize_now()
        stop = session.run()
    return stop, probe.hits, output.read_bytes()


def test_threads_that_count_and_record_at_once_lose_nothing(tmp_path: Path):
    program = threads_program(tmp_path, rounds=_ROUNDS)
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        count = session.count("work")
        record = session.define("p:calls work n=%r0:u32")
        session.optimize_now()
        seen = []
        session.on_event(lambda event: seen.append(event.values["n"]))
        stop = session.run()
        assert (stop.exit_code, session.lost(record)) == (7, 0)
    assert (tmp_path / "output").read_text() == threads_output(_ROUNDS)
    assert count.hits == record.hits == len(seen) == threads_calls(_ROUNDS)
    assert sum(seen) == sum(sum(range(_ROUNDS * (thread + 1))) for thread in range(4))


def test_times_are_those_of_this_computer(tmp_path: Path):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    program = threads_program(tmp_path, rounds=10)
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        session.define("p:calls work")
        took = session.latency("work")
        assert session.run().exit_code == 7
        times = [event.time for event in session.events()]
    assert before < min(times) < max(times) < time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert len(times) == took.count == threads_calls(10)
    assert 0 < took.least < took.greatest < max(times) - before


def test_handlers_on_both_sides_read_the_same_clock(root: Path):
    times: list[int] = []
    with armprobe.spawn([root / "usr/bin/lua5.4", "-e", "for i = 1, 5 do os.getenv('HOME') end"], root=root) as session:
        session.define("p:own getenv")
        session.probe("getenv", lambda hit: times.append(hit.time))
        session.run()
        recorded = [event.time for event in session.events()]
        assert session.clock is not None
        assert (session.clock.name, session.clock.unit) == ("CLOCK_MONOTONIC", "ns")
    # A place with a host handler records first, then stops.
    assert len(times) == len(recorded) >= 5
    assert sorted([*times, *recorded]) == [moment for pair in zip(recorded, times, strict=True) for moment in pair]


def test_a_record_that_is_never_finished_stops_no_program(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("armprobe.probes.instruments.STUCK_SECONDS", 0.3)
    program = threads_program(tmp_path, rounds=_ROUNDS)
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        session.timestamps = False
        record = session.define("p work n=%r0")
        session.optimize_now()
        # As if a child had been killed between taking two words of the ring and filling them.
        ring = session._engine.instruments.waiting.ring
        session.target.write_memory(ring, (2).to_bytes(4, "little"))
        stop = session.run()
    assert (stop.exit_code, (tmp_path / "output").read_text()) == (7, threads_output(_ROUNDS))
    read = len(list(session.events()))
    assert session.unfinished > 2
    assert read > 0
    assert read + (session.unfinished - 2) // 2 + session.lost(record) == threads_calls(_ROUNDS)


def test_threads_and_signals_go_together(tmp_path: Path):
    rounds = 100 * _ROUNDS
    program = build(WITH_SIGNALS + THREADS_SOURCE, tmp_path, "signals", THREADS=THREADS, ROUNDS=rounds)
    stop, hits, output = run(program, tmp_path / "output")
    assert (stop.reason, stop.exit_code, stop.message) == (StopReason.EXIT, 7, "")
    assert hits == threads_calls(rounds)
    assert output.decode() == "00000001\n" + threads_output(rounds)


def test_the_first_signal_of_a_program_with_threads_is_its_own(tmp_path: Path):
    # It sends itself SIGTERM when its threads are there.
    source = "#define START pthread_create\n#define BEFORE\n#define AFTER\n#define MEANWHILE " + _TERMINATES
    program = build(source + THREADS_SOURCE, tmp_path, "terminates", THREADS=THREADS, ROUNDS=_ROUNDS)
    stop, _, output = run(program, tmp_path / "output")
    assert (stop.reason, stop.exit_code, stop.signal, output) == (StopReason.EXIT, None, 15, b"")


def test_a_child_goes_on_counting_and_recording(tmp_path: Path):
    program = build(_FORK, tmp_path, "fork")
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        count = session.count("work+4")
        record = session.define("p work n=%r0")
        session.optimize_now()
        stop = session.run()
    assert (stop.exit_code, (tmp_path / "output").read_bytes()) == (5, b"00000300\n")
    assert (count.hits, record.hits, session.lost(record), len(list(session.events()))) == (1110, 1110, 0, 1110)


def test_a_child_passes_over_what_stops_its_parent(tmp_path: Path):
    program = build(_FORK, tmp_path, "fork")
    calls = []
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        few = session.probe("work", lambda hit: calls.append(hit.regs.r0), when="%r0 < 5")
        all_ = session.probe("work+4", lambda hit: calls.append(-1), post_handler=lambda hit: None)
        session.optimize_now()
        stop = session.run()
    assert (stop.exit_code, (tmp_path / "output").read_bytes()) == (5, b"00000300\n")
    assert len(calls) == 110 + 10
    assert (few.hits, few.missed, all_.hits, all_.missed) == (10, 5, 110, 1000)


def test_every_third_call_fails_in_a_process_that_never_stops_for_it(tmp_path: Path):
    program = build(_REFUSALS, tmp_path, "refusals")
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:

        @session.probe("work", compiled=True)
        def third(r0):
            if r0 % 3 == 0:
                emit(call=r0, twice=2 * r0)  # noqa: F821  words of the language
                skip(-12)  # noqa: F821

        executed = session.count("work+4")
        session.optimize_now()
        stop = session.run()
        events = [event.values["call"] for event in session.events()]
    assert (stop.exit_code, (tmp_path / "output").read_bytes()) == (0, b"00002710\n00004e20\n")
    assert (third.hits, executed.hits, session.lost(third)) == (30_000, 20_000, 0)
    assert events == list(range(0, 30_000, 3))


def test_calls_in_progress_return_in_both_when_a_program_forks(tmp_path: Path):
    program = build(_RETURNS, tmp_path, "returns")
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        outer, twice = session.define_all(["r:o outer pid=$retval:s32", "r:t twice"])
        stop = session.run()
    assert (stop.exit_code, (tmp_path / "output").read_bytes()) == (5, b"00000300\n")
    assert (outer.hits, twice.hits, twice.missed) == (2, 35, 0)
    assert sorted(event.values["pid"] > 0 for event in session.events() if event.probe is outer) == [False, True]


def test_a_child_returns_unseen_where_the_host_handles_returns(tmp_path: Path):
    program = build(_RETURNS, tmp_path, "returns")
    with (tmp_path / "output").open("wb") as stdout, armprobe.spawn([program], stdout=stdout) as session:
        outer = session.retprobe("outer", lambda hit: None)
        twice = session.retprobe("twice", lambda hit: None, entry=lambda hit: hit.regs.r0)
        stop = session.run()
    assert (stop.exit_code, (tmp_path / "output").read_bytes()) == (5, b"00000300\n")
    assert (outer.hits, twice.hits) == (1, 15)
    assert (outer.missed, twice.missed) == (1, 20)


def test_signal_handlers_run_as_ever_and_are_counted(tmp_path: Path):
    stop, hits, output = run(build(_ALARM, tmp_path, "alarm"), tmp_path / "output")
    assert stop.exit_code == 0
    assert hits == int(output, 16)


@pytest.mark.parametrize("at", ["load", "faulting"])
def test_a_program_handles_its_own_faults_and_sees_them_where_they_are(tmp_path: Path, at: str):
    program = build(_FAULTS, tmp_path, "faults")
    with armprobe.spawn([program], stdout=subprocess.DEVNULL) as session:
        place = session.locate("faulting")
    stop, hits, output = run(program, tmp_path / "output", at=at)
    assert (stop.exit_code, hits, int(output, 16)) == (10, 10, place)


#: a load that is executed in armprobe's code in another form faults
_REWRITTEN = """
__attribute__((naked, noinline)) unsigned load(unsigned offset)
{
    asm("ldr r0, [pc, r0]\\n bx lr");
}
void _start(void)
{
    print(load(0));
    load(0x70000000);
}
"""


def test_the_fault_that_ends_a_program_is_told_where_the_program_had_it(tmp_path: Path):
    with armprobe.spawn([build(_REWRITTEN, tmp_path, "rewritten")]) as session:
        loads = session.count("load")
        stop = session.run()
    assert (loads.hits, stop.signal, stop.pc) == (2, signal.SIGSEGV, loads.address)


@pytest.mark.parametrize(
    ("how", "exit_code", "killed", "hits"),
    [
        (0, 6, 0, 77), (6, None, 6, 77), (9, None, 9, 77), (10, None, 10, 77), (14, None, 14, 77), (64, 9, 0, 77),
        (65, None, 11, 77), (66, 4, 0, 154), (67, None, 5, 77),
    ],
    ids=["exit", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGALRM", "exec", "SIGSEGV", "closes all files", "SIGTRAP"],
)  # fmt: skip
def test_counts_are_complete_however_a_program_ends(
    tmp_path: Path, capfd, how: int, exit_code: int | None, killed: int, hits: int
):
    stop, counted, output = run(build(_ENDS, tmp_path, "ends", HOW=how), tmp_path / "output")
    capfd.readouterr()  # QEMU says that no core was dumped
    assert (stop.reason, stop.exit_code, stop.signal, counted) == (StopReason.EXIT, exit_code, killed, hits)
    assert output == b"bedd2cc6\n"


def test_strings_are_read_wherever_they_are_and_bad_pointers_do_no_harm(tmp_path: Path):
    with armprobe.spawn([build(_READS, tmp_path, "reads")]) as session:
        session.define("p:text work where=%r0 what=+0(%r0):string word=+3(%r0):u32")
        session.optimize_now()
        assert session.run().exit_code == 0
    found = [(event.values["what"], event.values["word"]) for event in session.events()]
    words = [int.from_bytes(text, "little") for text in (b"the ", b"THE ")]
    assert found == [("in the program", words[0]), ("IN THE PROGRAM", words[1]), ("", None), (None, None), (None, None)]


@pytest.mark.parametrize("whole", [False, True], ids=["armprobe alone", "the terminal's processes"])
def test_ctrl_c_is_the_programs_and_a_second_one_ends_the_run(tmp_path: Path, whole: bool):
    program = build(_STUBBORN, tmp_path, "stubborn")
    code = "from armprobe.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "stat", "--spawn", "-e", "work", program]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    assert process.stdout is not None
    send = os.killpg if whole else os.kill
    for number in range(2):
        assert process.stdout.readline() == f"{number:08x}\n"
        send(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert re.search(r"^ *[0-9,]+ +\d+ +branch +0x0001[0-9a-f]{4} +work$", errors, re.MULTILINE)
    assert "interrupted at " in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("threads", [False, True], ids=["one thread", "threads"])
def test_sigterm_ends_the_run_and_what_was_recorded_is_there(tmp_path: Path, threads: bool, number: int):
    endless = "#define START pthread_create\n#define BEFORE\n#define AFTER\n" + THREADS_SOURCE
    program = build(endless if threads else _STUBBORN, tmp_path, "endless", THREADS=THREADS, ROUNDS=1 << 29)
    code = "from armprobe.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "trace", "--spawn", "-e", "p:fifth work n=%r0 if %r0 == 5", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b" fifth: " in process.stderr.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number, errors
    assert (b"; interrupted, and the program ended with it\n" if threads else b"; interrupted at ") in errors


def test_ctrl_c_ends_a_program_that_does_not_handle_it_and_events_are_there(root: Path):
    code = "from armprobe.cli.main import main; raise SystemExit(main())"
    program = root / "bin/busybox"
    where = f"0x{Image.load(program).entry:08x}"
    command = [sys.executable, "-c", code, "trace", "--spawn", "-e", f"p:start {where}", program, "--"]
    process = subprocess.Popen(
        [*command, "sh", "-c", "echo x; while :; do :; done"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == b"x"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f": start: ({where})\n".encode() in errors
    assert b"it was ended by SIGINT\n" in errors
