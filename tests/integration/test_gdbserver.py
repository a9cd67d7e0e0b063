"""Debian's gdbserver in a Linux guest: the contract of targets, and programs with threads, signals and children."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.integration.gdbserver_guest import LIBC, LUA, GdbserverGuest, gdbserver_guest
from tests.integration.linux_programs import (
    FAMILY_CHILD,
    FAMILY_OWN,
    THREADS,
    blank_program,
    calling_program,
    ending_threads_program,
    executing_program,
    forking_program,
    loading_program,
    plugin,
    plugin_calls,
    signalling_program,
    threads_calls,
    threads_output,
    threads_program,
    ticking_program,
    waiting_program,
)
from tests.integration.test_killed import kill, victim
from tests.targets.contract import BASE, NOP, Contract, Make

import armprobe
from armprobe.errors import TargetFault
from armprobe.session.journal import default_path
from armprobe.targets.base import Region, StopReason, Target
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linuxcalls import GETPID
from armprobe.targets.processclock import CLOCK_SIZE

PAGE = 4096
MANY, FEW, SIGNALS, STOPS = 20_000, 10, 25, 20
#: of a run that nothing stops, and the end of the session
ROUND_TRIPS = 30
#: the command line
RUN = "from armprobe.cli.main import main; raise SystemExit(main())"
ROUNDS = 100_000
SIGINT, SIGUSR1, SIGUSR2, SIGKILL, SIGSEGV, SIGTERM, SIGURG = 2, 10, 12, 9, 11, 15, 23
TICKS = 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    return {
        "blank": blank_program(folder),
        "many": threads_program(folder, rounds=MANY, name="many"),
        "few": threads_program(folder, rounds=FEW, name="few"),
        "waiting": waiting_program(folder),
        "headless": waiting_program(folder, "headless", leader_exits=True),
        "busy": waiting_program(folder, "busy", calls=ROUNDS),
        "loading": loading_program(folder, LIBC),
        "one.so": plugin(folder, "one.so"),
        "two.so": plugin(folder, "two.so"),
        "fork": forking_program(folder, "fork"),
        "lingering": forking_program(folder, "lingering", lingers=True),
        "vfork": forking_program(folder, "vfork", shares=True),
        "vfork-exec": forking_program(folder, "vfork-exec", shares=True, executes=True),
        "exec": executing_program(folder),
        "term": signalling_program(folder, "term", rounds=SIGNALS, last=SIGTERM),
        "segv": signalling_program(folder, "segv", rounds=0, last=SIGSEGV),
        "calls": calling_program(folder, calls=MANY),
        "ticks": ticking_program(folder, "ticks", count=TICKS),
        "told": ticking_program(folder, "told"),
        **{
            ending(executes, exits): ending_threads_program(
                folder, ending(executes, exits), rounds=ROUNDS, executes=executes, leader_exits=exits
            )
            for executes in (False, True)
            for exits in (False, True)
        },
        "kill": signalling_program(folder, "kill", rounds=0, last=SIGKILL),
    }


def ending(executes: bool, leader_exits: bool) -> str:
    """The program one of whose threads ends all of them, by its name."""
    return f"ending{'-exec' * executes}{'-alone' * leader_exits}"


@pytest.fixture(scope="module")
def guest(programs: dict[str, Path]) -> Iterator[GdbserverGuest]:
    with gdbserver_guest({f"bin/{name}": path.read_bytes() for name, path in programs.items()}) as running:
        yield running


@pytest.fixture
def attach(guest: GdbserverGuest, programs: dict[str, Path]):
    """Starts a program and gives a session on it."""
    return lambda name: armprobe.attach_gdb(guest.serve(f"/bin/{name}"), programs[name])


class TestContract(Contract):
    unmapped = "the stub answers E01"

    @pytest.fixture
    def make(self, guest: GdbserverGuest) -> Iterator[Make]:
        attached: list[GdbRemoteTarget] = []

        def make(words: Sequence[int]) -> Target:
            target = GdbRemoteTarget.connect(guest.serve("/bin/blank"), memory=[Region(BASE, BASE + PAGE)])
            attached.append(target)
            target.write_memory(BASE, b"".join(word.to_bytes(4, "little") for word in words).ljust(PAGE, b"\0"))
            return target

        yield make
        for target in attached:
            target.detach()

    def test_write_that_faults_changes_nothing(self, make: Make) -> None:
        """gdbserver writes up to the end of what is mapped; nobody knows here where that is."""
        target, start = make([NOP]), BASE + PAGE - 2
        before = target.read_memory(BASE, PAGE)
        with pytest.raises(TargetFault, match=f"^cannot write 4 bytes at 0x{start:08x}: the stub answers E01$"):
            target.write_memory(start, b"\xff\xff\xff\xff")
        assert target.read_memory(BASE, PAGE) in (before, before[:-2] + b"\xff\xff")


# --- threads


def test_branches_count_what_four_threads_do_and_the_program_never_stops(attach, guest: GdbserverGuest):
    with attach("many") as session:
        calls = session.count("work")
        assert (session.optimize_now(), calls.state) == (1, "branch")
        before = session.target.stub.round_trips
        stop = session.run()
        assert session.target.stub.round_trips - before < ROUND_TRIPS + 4 * THREADS
    assert (stop.reason, stop.exit_code, stop.gone) == (StopReason.EXIT, 7, True)
    assert calls.hits == threads_calls(MANY)
    assert guest.finish() == threads_output(MANY)


def test_host_handlers_see_every_call_of_four_threads(attach, guest: GdbserverGuest):
    seen: dict[int, list[int]] = {}
    with attach("few") as session:
        probe = session.probe("work", lambda hit: seen.setdefault(hit.regs.sp, []).append(hit.regs.r0))
        session.optimization = False
        assert session.run().exit_code == 7
    assert probe.hits == threads_calls(FEW)
    assert sorted(seen.values()) == [list(range(FEW * n)) for n in range(1, THREADS + 1)]
    assert guest.finish() == threads_output(FEW)


def test_a_run_that_is_stopped_again_and_again_loses_no_hit_and_no_interrupt_reaches_the_program(attach, guest):
    stoppers: list[threading.Timer] = []

    def stop_soon(_hit: armprobe.Hit) -> None:
        # About when the process is hit by the next one.
        if probe.hits % 10 == 1:
            stoppers.append(threading.Timer(0.001, session.stop))
            stoppers[-1].start()

    with attach("few") as session:
        session.optimization = False
        probe = session.probe("work", stop_soon)
        runs = 1
        while (stop := session.run()).reason is StopReason.INTERRUPT:
            runs += 1
        for stopper in stoppers:
            stopper.join()
    assert (stop.reason, stop.exit_code, stop.signal) == (StopReason.EXIT, 7, 0)
    assert runs > 1
    assert probe.hits == threads_calls(FEW)
    assert guest.finish() == threads_output(FEW)


def test_leaving_a_session_lets_the_process_run_on_without_a_trace(attach, guest: GdbserverGuest):
    with attach("many") as session:
        calls = session.count("work")
        threads = session.probe("thread", lambda _: session.stop() if threads.hits == THREADS - 1 else None)
        session.optimize_now()
        stop = session.run()
    assert stop.reason is StopReason.INTERRUPT
    assert calls.hits < threads_calls(MANY)
    assert guest.finish() == threads_output(MANY)
    attach("few").close()  # nothing of the first session is left to be undone


@pytest.mark.parametrize("leader_exits", [False, True])
@pytest.mark.parametrize("executes", [False, True])
def test_what_threads_have_counted_is_kept_when_one_of_them_ends_them_all(
    attach, guest: GdbserverGuest, executes: bool, leader_exits: bool
):
    looks: list[int] = []
    with attach(ending(executes, leader_exits)) as session:
        calls = session.count("work")
        stop = session.run(between=lambda: looks.append(calls.hits), every=0.05)
    message = "executed /bin/busybox, which goes on without probes" if executes else ""
    assert (stop.reason, stop.exit_code, stop.message) == (StopReason.EXIT, None if executes else 5, message)
    assert looks == sorted(looks)
    assert looks[-1] == calls.hits == THREADS * ROUNDS
    assert guest.finish() == ("executed\n" if executes else "")


def test_threads_go_on_that_are_in_detours_when_the_session_ends(guest: GdbserverGuest, programs: dict[str, Path]):
    process = guest.start("/bin/busy")
    mapped = guest.mapped(process)
    for _ in range(3):
        _run_until(ROUNDS, guest.attach(process), programs["busy"])
        assert guest.mapped(process) == mapped
    assert guest.tell("x").startswith("00000000\n")


def _run_until(hits: int, address: str, program: Path) -> None:
    with armprobe.attach_gdb(address, program) as session:
        calls = session.count("work")
        session.define("p:works work n=%r0 if %r0 == 1")
        session.run(between=lambda: calls.hits > hits, every=0.02)


@pytest.mark.parametrize("optimized", [True, False])
def test_a_program_whose_first_thread_has_ended_is_probed_and_left_running_as_it_was(guest, programs, optimized: bool):
    address = guest.serve("/bin/headless")
    mapped = guest.mapped()
    with armprobe.attach_gdb(address, programs["headless"]) as session:
        session.optimization = optimized
        calls = session.count("work")
        ended = session.run(between=lambda: calls.hits > 0 and session.target.stub.events.is_headless, every=0.05)
        assert ended.reason is StopReason.INTERRUPT
        # What is planted now takes memory, which another thread has to map.
        late = session.define("p:works work n=%r0")
        seen = session.probe("work+4", lambda _: session.stop() if seen.hits > FEW else None)
        assert session.run().reason is StopReason.INTERRUPT
        assert len(list(session.events())) == late.hits > 0
    assert guest.mapped() == mapped
    guest.send("x")
    wrong, total = guest.finish().split()
    assert wrong == "00000000"
    assert int(total, 16) >= calls.hits > 0


# --- a program that runs already


def test_a_running_program_is_attached_to_and_left_running_as_it_was(guest: GdbserverGuest, programs: dict[str, Path]):
    process = guest.start("/bin/waiting")
    mapped = guest.mapped(process)
    _stop_after_some_calls(guest.attach(process), programs["waiting"], optimized=True)
    assert guest.mapped(process) == mapped
    _stop_after_some_calls(guest.attach(process), programs["waiting"], optimized=False)
    assert guest.mapped(process) == mapped
    wrong, total = guest.tell("x").split()
    assert wrong == "00000000"
    assert int(total, 16) >= STOPS * 65


def _stop_after_some_calls(address: str, program: Path, *, optimized: bool) -> None:
    with armprobe.attach_gdb(address, program) as session:
        session.optimization = optimized
        calls = session.count("work")
        # Meanwhile most threads sleep, and one waits for input.
        condition = "%r0 == 63" if optimized else ""
        enough = session.probe("work", lambda _: session.stop() if enough.hits > STOPS else None, when=condition)
        assert session.run().reason is StopReason.INTERRUPT
        assert len(session.target.threads.ids()) == 1 + THREADS
        assert calls.hits >= STOPS * (64 if optimized else 1)


def test_a_running_program_is_followed_to_its_end(guest: GdbserverGuest, programs: dict[str, Path]):
    process = guest.start("/bin/waiting")
    looks: list[int] = []
    with armprobe.attach_gdb(guest.attach(process), programs["waiting"]) as session:
        calls = session.count("work")
        place = session.symbols.named("calls")[0].address
        before = sum(memoryview(session.read_memory(place, 4 * THREADS)).cast("I"))
        session.probe("thread+8", lambda _: None)
        teller = threading.Thread(target=guest.tell, args=["x"])

        def look() -> None:
            looks.append(calls.hits)
            comes_on = len(set(looks)) > 2
            if comes_on and teller.ident is None:
                teller.start()

        stop = session.run(between=look, every=0.05)
        teller.join()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 7)
    assert looks == sorted(looks)
    assert looks[-1] == calls.hits
    wrong, total = guest.printed().split()
    assert wrong == "00000000"
    # A thread may have stood between a call and where it is counted.
    assert 0 <= int(total, 16) - before - calls.hits <= THREADS


@pytest.mark.parametrize("leads", [True, False])
def test_a_program_that_was_attached_to_is_restored_after_armprobe_was_killed(guest, programs, leads: bool):
    process = guest.start("/bin/waiting", leads=leads)
    mapped = guest.mapped(process)
    address = guest.attach(process)
    with victim(KILLED_ON_THE_WAY, address, programs["waiting"]) as armprobe_process:
        kill(armprobe_process)
    done = armprobe.restore(address)
    assert done is not None
    assert (done.kept, done.unknown, done.ended) == ([], [], False)
    assert (guest.mapped(process), guest.timers(process)) == (mapped, "")
    assert guest.tell("x").startswith("00000000\n")


#: nothing stops the program, and nobody looks
KILLED_WHILE_IT_RUNS = """
import sys, armprobe
session = armprobe.attach_gdb(*sys.argv[1:])
session.count("work")
session.optimize_now()
session.target.stub.runner.idle = lambda: print("now", flush=True)
session.run()
"""


def test_restoring_a_program_that_nothing_stops_says_why_it_waits_and_how_to_stop_it(guest, programs):
    process = guest.start("/bin/waiting")
    mapped = guest.mapped(process)
    address = guest.attach(process)
    with victim(KILLED_WHILE_IT_RUNS, address, programs["waiting"]) as armprobe_process:
        kill(armprobe_process)
    command = [sys.executable, "-c", RUN, "restore", "--gdb", address]
    reason = (
        "gdbserver does not answer: it hears nobody while the program runs; `kill -INT {}`, where it runs, has the "
        "program stop at once, and does it no harm; waiting for its next stop, which Ctrl-C ends\n"
    )
    for given_up in (True, False):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as restoring:
            assert restoring.stdout is not None
            assert restoring.stderr is not None
            assert restoring.stderr.readline() == reason.format(process)
            if given_up:
                restoring.send_signal(signal.SIGINT)
            else:
                guest.signal(process, SIGINT)
            assert (restoring.stderr.read().strip(), restoring.wait()) == ("", 130 if given_up else 0)
            assert restoring.stdout.read().startswith("put 1 word of code back") is not given_up
        assert default_path(address).exists() is given_up
    assert (guest.mapped(process), guest.timers(process)) == (mapped, "")
    assert guest.tell("x").startswith("00000000\n")


# --- armprobe is killed

KILLED_ON_THE_WAY = """
import sys, armprobe
session = armprobe.attach_gdb(*sys.argv[1:])
session.count("work")
session.probe("work", lambda hit: print("now", flush=True), when="%r0 == 63")
session.run()
"""
KILLED = """
import sys, armprobe
address, program, moment = sys.argv[1:]
session = armprobe.attach_gdb(address, program)
session.count("work")
session.optimization = moment != "traps"
session.optimize_now()
def all_threads_are_there(hit):
    if threads.hits == 4:
        print("now", flush=True)
        if moment == "traps":
            sys.stdin.read()
threads = session.probe("thread", all_threads_are_there)
if moment == "traps":
    session.run()
session.run(between=lambda: None, every=0.05)
"""


@pytest.mark.parametrize("moment", ["running", "traps"])
def test_a_process_is_restored_after_armprobe_was_killed_and_comes_to_its_end(
    guest: GdbserverGuest, programs: dict[str, Path], moment: str
):
    address = guest.serve("/bin/waiting")
    mapped = guest.mapped()
    with victim(KILLED, address, programs["waiting"], moment) as process:
        kill(process)
    with pytest.raises(armprobe.Refused, match=rf"\(waiting, process {process.pid}\) did not end"):
        armprobe.attach_gdb(address, programs["waiting"])
    done = armprobe.restore(address)
    assert done is not None
    assert (done.kept, done.unknown, done.ended, done.restarted) == ([], [], False, False)
    assert done.memory > 32 << 20
    assert guest.mapped() == mapped
    assert bool(done.restored) == (moment == "running")
    assert done.traps >= 1
    guest.send("x")
    assert guest.finish().startswith("00000000\n")


#: the stub of a session that is held before, or behind, the system call of that number that it has the process make
KILLED_IN_A_CALL = """
import sys, armprobe
from armprobe.targets.gdbremote import GdbRemoteTarget
address, program, moment, number = sys.argv[1:]
calls = 0
def hold(then, *arguments):
    global calls
    calls += 1
    if calls == int(number):
        print("now", flush=True)
        sys.stdin.read()
    return then(*arguments)
if moment == "before":
    held, then = "execute", GdbRemoteTarget.execute
else:
    held, then = "push_registers", GdbRemoteTarget.push_registers
setattr(GdbRemoteTarget, held, lambda *arguments: hold(then, *arguments))
with armprobe.attach_gdb(address, program) as session:
    session.count("work")
"""


@pytest.mark.parametrize(("moment", "number"), [("before", 1), ("behind", 1), ("behind", 4)])
def test_a_process_is_restored_after_armprobe_was_killed_in_the_midst_of_a_system_call(
    guest: GdbserverGuest, programs: dict[str, Path], moment: str, number: int
):
    address = guest.serve("/bin/few")
    with victim(KILLED_IN_A_CALL, address, programs["few"], moment, number) as process:
        kill(process)
    done = armprobe.restore(address)
    assert done is not None
    assert (done.kept, done.unknown) == ([], [])
    assert guest.finish() == threads_output(FEW)


KILLED_WITHOUT_A_FIRST_THREAD = """
import sys, armprobe
session = armprobe.attach_gdb(*sys.argv[1:])
calls = session.count("work")
def look():
    if calls.hits and session.target.stub.events.is_headless:
        print("now", flush=True)
session.run(between=look, every=0.05)
"""


def test_a_process_whose_first_thread_has_ended_is_restored(guest: GdbserverGuest, programs: dict[str, Path]):
    address = guest.serve("/bin/headless")
    mapped = guest.mapped()
    with victim(KILLED_WITHOUT_A_FIRST_THREAD, address, programs["headless"]) as process:
        kill(process)
    done = armprobe.restore(address)
    assert done is not None
    assert (done.kept, done.unknown, done.ended, done.restarted) == ([], [], False, False)
    assert len(done.restored) == 1
    assert guest.mapped() == mapped
    guest.send("x")
    assert guest.finish().startswith("00000000\n")


def test_with_once_the_program_goes_with_the_connection(guest: GdbserverGuest, programs: dict[str, Path]):
    address = guest.serve("/bin/waiting", options="--once")
    with victim(KILLED, address, programs["waiting"], "running") as process:
        kill(process)
    assert guest.finish() == ""
    done = armprobe.restore(guest.serve("/bin/waiting"))
    assert done is not None
    assert done.restarted
    guest.send("x")
    assert guest.finish().startswith("00000000\n")


# --- children, and other programs


@pytest.mark.parametrize(("name", "status"), [("fork", 3 << 8), ("vfork", 3 << 8), ("vfork-exec", 0)])
def test_children_count_as_well_where_code_does_it(attach, guest: GdbserverGuest, name: str, status: int):
    plain = guest.run(f"/bin/{name}")
    with attach(name) as session:
        calls = session.count("work")
        session.optimize_now()
        assert session.run().exit_code == 9
    assert calls.hits == FAMILY_OWN + FAMILY_CHILD
    assert guest.finish() == plain
    assert plain.endswith(f"\n{status:08x}\n")


def test_looks_from_time_to_time_end_no_child(attach, guest: GdbserverGuest):
    plain = guest.run("/bin/lingering")
    looks: list[int] = []
    with attach("lingering") as session:
        calls = session.count("work")
        assert session.run(between=lambda: looks.append(calls.hits), every=0.1).exit_code == 9
    assert looks == sorted(looks)
    assert len(looks) > 1  # the child sleeps for longer
    assert calls.hits == FAMILY_OWN + FAMILY_CHILD
    assert guest.finish() == plain


def test_a_process_that_leads_no_group_is_looked_at_and_stopped(guest: GdbserverGuest, programs: dict[str, Path]):
    process = guest.start("/bin/waiting", leads=False)
    looks: list[int] = []

    def look() -> bool:
        looks.append(calls.hits)
        return len(looks) == STOPS

    with armprobe.attach_gdb(guest.attach(process), programs["waiting"]) as session:
        calls = session.count("work")
        assert session.run(between=look, every=0.02).reason is StopReason.INTERRUPT
        over = threading.Event()

        def stop() -> None:
            while not over.wait(0.05):  # one that is asked for before the run has begun is forgotten
                session.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        assert session.run().reason is StopReason.INTERRUPT
        over.set()
        stopper.join()
    assert looks == sorted(looks)
    assert looks[-1] > 0
    assert guest.timers(process) == ""
    assert guest.tell("x").startswith("00000000\n")


def test_a_program_gets_its_own_signals_of_the_kind_that_it_is_stopped_with(guest, programs: dict[str, Path]):
    process = guest.start("/bin/told", leads=False)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            guest.signal(process, SIGURG)
        if looks == 6:
            guest.send("x")

    with armprobe.attach_gdb(guest.attach(process), programs["told"]) as session:
        assert session.run(between=look, every=0.02).exit_code == 7
    assert guest.printed() == f"{0:08x}\n{0x10000:08x}\n"


@pytest.mark.parametrize(("name", "hits"), [("fork", FAMILY_OWN), ("vfork-exec", FAMILY_OWN + FAMILY_CHILD)])
def test_a_child_with_memory_of_its_own_runs_without_traps(attach, guest: GdbserverGuest, name: str, hits: int):
    plain = guest.run(f"/bin/{name}")
    with attach(name) as session:
        session.optimization = False
        probe = session.probe("work", lambda _: None, post_handler=lambda _: None)
        assert session.run().exit_code == 9
    assert probe.hits == hits
    assert guest.finish() == plain


def test_what_was_counted_before_a_process_executes_another_program_is_kept(attach, guest: GdbserverGuest):
    with attach("exec") as session:
        calls = session.count("work")
        stop = session.run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, None)
    assert stop.message == "executed /bin/busybox, which goes on without probes"
    assert calls.hits == FAMILY_OWN
    assert guest.finish() == "executed\n"


# --- signals


def test_code_and_host_ask_the_process_for_the_same_clock(attach):
    times: list[int] = []

    with attach("few") as session:
        session.define("p:works work if %r0 == 0")
        session.probe("work", lambda hit: times.append(hit.time), when="%r0 == 0")
        took = session.latency("work")
        session.run()
        recorded = [event.time for event in session.events()]
    assert session.clock is not None
    assert session.clock.name == "CLOCK_MONOTONIC"
    assert len(recorded) == len(times) == THREADS
    # A place with a host handler records first.
    assert all(earlier < later for earlier, later in zip(sorted(recorded), sorted(times), strict=True))
    assert max(times) - min(recorded) < 60e9
    assert took.count == threads_calls(FEW)
    assert took.least > 0


def test_a_step_takes_a_thread_out_of_a_function_of_the_kernel_s_that_begins_anew_when_time_goes_by(attach):
    with attach("few") as session:
        session.define("p:works work")
        session.optimize_now()
        stub, clock = session.target.stub, session.target.clock.at_site.address
        entry = int.from_bytes(stub.read_memory(clock + CLOCK_SIZE - 4, 4), "little")
        (whole,) = (whole for whole in stub.whole if whole.code.start == entry)
        assert stub.run(lambda _: False, until=entry).reason is StopReason.ADDRESS
        assert stub.run(lambda _: False, limit=1).pc in whole.exits
        assert clock < stub.run(lambda _: False, limit=1).pc < clock + CLOCK_SIZE
        assert session.run().exit_code == 7
        assert len(list(session.events())) == threads_calls(FEW)


def test_threads_that_come_to_the_end_of_a_run_at_once_run_on(attach, guest: GdbserverGuest):
    """The stub tells of them one after another, when the breakpoint is gone."""
    with attach("many") as session:
        calls = session.count("work")
        for _ in range(STOPS):
            assert session.run(until="work+4").reason is StopReason.ADDRESS
            session.run(limit=1)
        assert session.run().exit_code == 7
    assert calls.hits == threads_calls(MANY)
    assert guest.finish() == threads_output(MANY)


def test_signals_reach_the_program_and_the_one_that_ends_it_is_told(attach, guest: GdbserverGuest):
    with attach("term") as session:
        session.define("p:works work number=%r0 so_far=%r1")
        session.optimize_now()
        stop = session.run()
        events = [event.values for event in session.events()]
    assert (stop.signal, stop.exit_code, stop.message) == (SIGTERM, None, "was ended by SIGTERM")
    assert events == [{"number": SIGUSR1, "so_far": n} for n in range(SIGNALS)]
    assert guest.finish() == f"{SIGNALS:08x}\n"


def test_handlers_of_signals_that_come_amid_calls_from_outside_run_afterwards(attach, guest: GdbserverGuest):
    def call(_hit: armprobe.Hit) -> None:
        assert session.target._calls.call(GETPID) == process

    with attach("ticks") as session:
        session.optimization = False
        process = session.target.stub.events.process
        session.probe("step", call)
        probe = session.probe("work", lambda _: None)
        assert session.run().exit_code == 7
    assert probe.hits >= TICKS
    assert guest.finish() == f"{probe.hits:08x}\n{0:08x}\n"


def test_signals_that_came_amid_calls_from_outside_reach_a_program_that_is_let_go(guest, programs: dict[str, Path]):
    process = guest.start("/bin/told")
    address = guest.attach(process)
    guest.signal(process, SIGUSR1, SIGUSR2)  # it stands still, and gets them with its first call
    with armprobe.attach_gdb(address, programs["told"]) as session:
        session.count("work")
    assert guest.tell("x") == f"{0:08x}\n{0x101:08x}\n"


def test_a_fault_is_the_program_s_own_affair(attach):
    with attach("segv") as session:
        stop = session.run()
    assert (stop.signal, stop.message) == (SIGSEGV, "was ended by SIGSEGV")


def test_what_was_counted_outlives_sigkill(attach):
    with attach("kill") as session:
        calls = session.count("_start+0x10")
        session.define("p:starts _start+0x10")
        stop = session.run()
        assert len(list(session.events())) == 1
    assert (stop.signal, stop.message) == (SIGKILL, "was ended by SIGKILL")
    assert calls.hits == 1


def test_a_program_that_makes_many_system_calls_is_not_stopped_for_them(attach, guest: GdbserverGuest):
    with attach("calls") as session:
        calls = session.count("work")
        session.optimize_now()
        before = session.target.stub.round_trips
        assert session.run().exit_code == 7
        assert session.target.stub.round_trips - before < ROUND_TRIPS
    assert calls.hits == MANY
    guest.finish()


#: a kernel without memfd_create (before 3.17) answers it like any number that stands for no system call
OLD_KERNEL = "import armprobe.targets.heldfile as module; module.MEMFD_CREATE = 9999; "


@pytest.mark.parametrize("name", ["exec", "kill"])
def test_without_a_file_a_program_stops_at_its_system_calls_which_is_told(guest, programs: dict[str, Path], name: str):
    address = guest.serve(f"/bin/{name}")
    command = ["stat", "--gdb", address, "--json", "-e", "work", str(programs[name])]
    done = subprocess.run(
        [sys.executable, "-c", OLD_KERNEL + RUN, *command], capture_output=True, timeout=120, check=False, text=True
    )
    reason = "system call 9999 fails in the target at " + address + ": Function not implemented (ENOSYS)"
    assert done.stderr.startswith(
        "gdbserver stops the program shortly at each of its system calls, or what was counted would go with "
        f"it: {reason}\n"
    )
    if name == "exec":
        assert [probe["hits"] for probe in json.loads(done.stdout)["probes"]] == [FAMILY_OWN]
    else:
        lost = f"the target at {address} was ended at once, and what was counted and recorded went with it: {reason}"
        assert lost in done.stderr


# --- programs of Debian's, with shared libraries


def test_libraries_are_found_where_the_process_runs(guest: GdbserverGuest):
    numbers: list[int] = []
    script = "for i = 1, 1234 do tostring(i) end print(5) os.exit(7)"
    with armprobe.attach_gdb(guest.serve("/bin/lua", "-e", script), LUA) as session:
        calls, writes = session.count_all(["luaL_tolstring", "libc.so.6:write"])
        session.define("p:writes libc.so.6:write")
        session.probe("libc.so.6:write", lambda hit: numbers.append(hit.pid))
        session.optimize_now()
        assert session.run().exit_code == 7
    assert calls.hits == 1234 + 1  # print has one, too
    assert {event.common["pid"] for event in session.events()} == set(numbers)
    assert len(set(numbers)) == 1
    assert writes.hits == 1
    assert guest.finish() == "5\n"


@pytest.mark.parametrize("optimized", [True, False])
def test_libraries_that_come_and_go_are_counted_also_in_a_thread(guest: GdbserverGuest, programs, optimized: bool):
    libraries = ["/bin/one.so", "k", "/bin/two.so", "/bin/one.so"]
    plain = guest.run("/bin/loading", "t", *libraries)
    with armprobe.attach_gdb(guest.serve("/bin/loading", "t", *libraries), programs["loading"]) as session:
        session.optimization = optimized
        one = session.on_load("one.so", lambda: session.count("one.so:work"))
        two = session.on_load("two.so", lambda: session.count("two.so:work"))
        assert session.run().exit_code == 3
    assert [probe.hits for probe in one.probes] == [plugin_calls(1), plugin_calls(3)]
    assert two.hits == plugin_calls(2)
    assert guest.finish() == plain


KILLED_AFTER_UNLOADING = """
import sys, armprobe
session = armprobe.attach_gdb(*sys.argv[1:])
session.on_load("one.so", lambda: session.count("one.so:work"))
def now():
    session.probe("two.so:run", lambda hit: print("now", flush=True) or sys.stdin.read())
session.on_load("two.so", now)
session.run()
"""


def test_what_was_in_a_library_that_is_gone_is_not_restored(guest: GdbserverGuest, programs: dict[str, Path]):
    libraries = ["/bin/one.so", "/bin/two.so"]
    plain = guest.run("/bin/loading", *libraries)
    address = guest.serve("/bin/loading", *libraries)
    with victim(KILLED_AFTER_UNLOADING, address, programs["loading"]) as process:
        kill(process)
    done = armprobe.restore(address)
    assert done is not None
    assert (done.kept, done.unknown) == ([], [])
    assert guest.finish() == plain


def test_the_command_line_ends_as_the_program_does(guest: GdbserverGuest, programs: dict[str, Path]):
    address = guest.serve("/bin/many")
    command = ["stat", "--gdb", address, "--json", "-e", "work", str(programs["many"])]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert (done.returncode, report["stop"]["message"]) == (7, "the program ended with exit code 7")
    assert [(probe["location"], probe["hits"]) for probe in report["probes"]] == [("work", threads_calls(MANY))]
    assert guest.finish() == threads_output(MANY)


def test_events_of_a_process_are_traced(guest: GdbserverGuest, programs: dict[str, Path]):
    address = guest.serve("/bin/many")
    command = ["trace", "--gdb", address, "-e", "p:works work n=%r0:u32 if %r0 < 100", str(programs["many"])]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 7
    assert len(done.stdout.splitlines()) == THREADS * 100
    assert guest.finish() == threads_output(MANY)


@pytest.mark.parametrize(("ending", "leads"), [("SIGINT", True), ("SIGTERM", False), ("closed pipe", False)])
def test_events_are_shown_while_threads_run_on_and_whoever_has_seen_enough_leaves_no_trace(
    guest: GdbserverGuest, programs: dict[str, Path], ending: str, leads: bool
):
    process = guest.start("/bin/busy", leads=leads)
    mapped = guest.mapped(process)
    address = guest.attach(process)
    # So rare that the ring would not be full for hours.
    event = f"p:works work n=%r0:u32 if %r0 == {ROUNDS - 1}"
    command = [sys.executable, "-c", RUN, "trace", "--gdb", address, "-e", event, str(programs["busy"])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tracing:
        assert tracing.stdout is not None
        assert tracing.stderr is not None
        shown = [tracing.stdout.readline() for _ in range(3)]
        if ending == "closed pipe":
            tracing.stdout.close()
        else:
            tracing.send_signal(getattr(signal, ending))
        summary = tracing.stderr.read()
    assert all(f" works: (work+0x0/0x10) n={ROUNDS - 1}\n" in line for line in shown)
    assert (tracing.returncode, "interrupted at" in summary) == {
        "SIGINT": (130, True), "SIGTERM": (143, True), "closed pipe": (141, False),
    }[ending]  # fmt: skip
    assert not default_path(address).exists()
    assert (guest.mapped(process), guest.timers(process)) == (mapped, "")
    assert guest.tell("x").startswith("00000000\n")


def test_events_are_handed_over_while_the_program_runs_on(guest: GdbserverGuest, programs: dict[str, Path]):
    process = guest.start("/bin/busy")
    seen: list[armprobe.Event] = []

    def take(event: armprobe.Event) -> None:
        seen.append(event)
        session.stop()

    with armprobe.attach_gdb(guest.attach(process), programs["busy"]) as session:
        session.define(f"p:works work n=%r0:u32 if %r0 == {ROUNDS - 1}")
        session.on_event(take)
        assert session.run().reason is StopReason.INTERRUPT
        assert len(seen) >= 1
    assert guest.tell("x").startswith("00000000\n")
