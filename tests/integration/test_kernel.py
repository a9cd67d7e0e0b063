"""A stock Debian kernel in QEMU, probed from outside while it works on several processors."""

import re
from collections import defaultdict

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, calling_program, need_guest, opening_program

import armprobe
from armprobe.cli.main import main
from armprobe.errors import Refused, UsageError
from armprobe.targets.linuxguest import start_guest

PROCESSORS, CALLS, FEW, OPENS = 4, 20_000, 30, 10_000
#: files that a program opens by its arguments, which are in its memory from the start
NAMES = ("/proc/version", "/proc/uptime")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    need_guest()
    programs = {
        f"bin/{name}": calling_program(tmp_path_factory.mktemp(name), processors=PROCESSORS, calls=calls)
        for name, calls in (("calls", CALLS), ("few", FEW))
    }
    programs["bin/opens"] = opening_program(tmp_path_factory.mktemp("opens"), opens=OPENS)
    with start_guest(KERNEL, BUSYBOX, programs=programs, processors=PROCESSORS) as running:
        yield running
        assert running.power_off() == 0


def test_calls_on_four_processors_are_counted_exactly_and_nothing_stays_behind(guest):
    with armprobe.attach_kernel(guest.address) as session:
        entry = session.locate("sys_getppid")
        function = session.read_memory(entry, 0x40)
        calls, opened = session.count_all(["sys_getppid", "do_sys_openat2"])
        assert session.optimize_now() == 2
        assert [probe.state for probe in (calls, opened)] == ["branch", "branch"]
        guest.start("calls", when_ended=session.stop)
        stop = session.run()
        guest.finish()
        assert stop.reason is armprobe.StopReason.INTERRUPT
        assert calls.hits == PROCESSORS * CALLS
        session.close()
    with armprobe.attach_kernel(guest.address) as session:
        assert session.target.read_memory(entry, 0x40) == function


def test_file_names_come_from_the_memory_of_users_and_bad_pointers_are_faults(guest):
    with armprobe.attach_kernel(guest.address) as session:
        opens = session.define("p:opens do_sys_openat2 name=+0(%r1):ustring first=+0(%r1):u8 word=+0(%r1):x32")
        same = session.define('p:same do_sys_openat2 name=+0(%r1):string if name == "/armprobe/00017"')
        session.optimize_now()
        assert [opens.state, same.state] == ["branch", "branch"]
        guest.start("opens", when_ended=session.stop)
        session.run()
        guest.finish()
        events = list(session.events())
    names = [event.values["name"] for event in events if event.probe is opens]
    good = [f"/armprobe/{number:05}" for number in range(OPENS)]
    assert names == [*good, None, None, None, None, None]
    assert [event.values["name"] for event in events if event.probe is same] == ["/armprobe/00017"]
    firsts = [(event.values["first"], event.values["word"]) for event in events if event.probe is opens]
    start = (ord("/"), int.from_bytes(b"/arm", "little"))
    assert firsts == [start] * OPENS + [(None, None), (None, None), (ord("x"), 0x78787878), (None, None), (None, None)]
    assert "Oops" not in guest.execute("dmesg")


def test_memory_out_of_reach_of_the_kernel_is_refused_and_given_back(guest):
    taken = "cat /proc/vmallocinfo | grep -c module_alloc || true"
    before = guest.execute(taken)
    with pytest.raises(armprobe.Refused, match=r"^the 33,554,432 bytes of memory .* out of branch reach") as refused:
        armprobe.attach_kernel(guest.address, memory=32 << 20)
    assert refused.value.hint == "take less when attaching (memory=...)"
    assert guest.execute(taken) == before


def test_memory_of_vmalloc_is_read_and_what_is_not_mapped_is_a_fault(guest):
    """The stack of a task is such memory; behind two words are the registers of the user, of which r7 is 64 here."""
    with armprobe.attach_kernel(guest.address) as session:
        probe = session.define(
            "p:calls sys_getppid sp=%sp number=$stack9:u32 last=+0(\\0xfffff000):u32 none=+0(\\0xbeffffff):u16"
        )
        session.optimize_now()
        assert probe.state == "branch"
        guest.start("few", when_ended=session.stop)
        session.run()
        guest.finish()
        events = list(session.events())
        linear = session.target.regions[-1]
    assert len(events) == PROCESSORS * FEW
    assert all(event.values["sp"] >= linear.end for event in events)
    assert {tuple(event.values.values())[1:] for event in events} == {(64, None, None)}


def test_kernels_own_probe_on_a_neighbour_counts_the_same_on_all_processors(guest):
    guest.execute("echo 'p:own sys_getppid+0x10' > /sys/kernel/tracing/kprobe_events")
    guest.execute("echo 1 > /sys/kernel/tracing/events/kprobes/own/enable; sleep 1")
    own = guest.execute("grep getppid /sys/kernel/debug/kprobes/list")
    assert "[OPTIMIZED]" in own
    with armprobe.attach_kernel(guest.address) as session:
        with pytest.raises(Refused, match=r"own code, as its optimized kprobes have$"):
            session.count("sys_getppid+0x10")
        before, behind = session.count_all(["sys_getppid", "sys_getppid+0x14"])
        session.optimize_now()
        assert [before.state, behind.state] == ["branch", "branch"]
        guest.start("calls", when_ended=session.stop)
        session.run()
        guest.finish()
        counts = before.hits, behind.hits
    name, hits, missed = guest.execute("cat /sys/kernel/tracing/kprobe_profile").split()
    guest.execute("echo 0 > /sys/kernel/tracing/events/kprobes/own/enable; echo > /sys/kernel/tracing/kprobe_events")
    assert (name, int(hits) + int(missed), *counts) == ("own", *[PROCESSORS * CALLS] * 3)


def test_kernel_works_on_while_probes_are_prepared(guest):
    with armprobe.attach_kernel(guest.address) as session:
        calls = session.count("sys_getppid")
        session.optimize_now()
        places = [place for place in session.places("*_show") if not session.explain(place).refused][:200]
        session.runs_meanwhile = True
        guest.start("calls")
        for _ in range(100):
            probes = session.count_all(places)
            assert {probe.state for probe in probes} == {"branch"}
            session.unregister_all(probes)
            if calls.hits == PROCESSORS * CALLS:
                break
        guest.start("true", when_ended=session.stop)
        session.run()
        guest.finish()
        assert calls.hits == PROCESSORS * CALLS


def test_places_that_the_kernel_cannot_bear_probes_at_are_refused(guest):
    reasons = {
        "ret_fast_syscall": "ret_fast_syscall is entry code, which runs before the kernel can take a fault",
        "patch_text": "patch_text is code that the kernel marks as not to be probed (.kprobes.text)",
        "do_DataAbort": "do_DataAbort is on the way of the page fault that a process may take to reach a probe",
        "sys_getppid+8": "sys_getppid+0x8 is the place of a call of the function tracer, which the kernel may change "
        "(ftrace)",
        0xFFFF0008: "0xffff0008 is an exception vector",
        0xBF000000: "0xbf000000 is outside of the kernel's own code",
    }
    with armprobe.attach_kernel(guest.address) as session:
        for place, reason in reasons.items():
            with pytest.raises(Refused) as refused:
                session.count(place)
            assert refused.value.message == reason
        with pytest.raises(Refused) as refused:
            session.define("r:back sys_getppid parent=$retval")
        assert refused.value.message == (
            f"the return of back can't be probed: the kernel at {guest.address} has tasks that sleep, and those "
            "asleep in the function could not be led back when the probe goes"
        )


def test_time_processor_and_task_are_those_that_the_kernels_own_trace_shows(guest):
    """The kernel probes the same function some instructions later: the two sides take turns."""
    tracing = "/sys/kernel/tracing"
    commands = [
        f"echo 'p:own do_sys_openat2+16' > {tracing}/kprobe_events",
        f"echo 1 > {tracing}/events/kprobes/enable",
        f"cat {' '.join(NAMES)}",
        "for n in 1 2 3; do (cat /proc/self/status) & done; wait",
        f"echo 0 > {tracing}/events/kprobes/enable",
        f"cat {tracing}/trace",
    ]
    with armprobe.attach_kernel(guest.address) as session:
        assert session.clock.name.startswith("sched_clock of the kernel")
        probe = session.define("p:opens do_sys_openat2 name=+0(%r1):ustring")
        copied = session.define("p:copied do_filp_open name=+0(+0(%r1)):string")
        session.optimize_now()
        assert [probe.state, copied.state] == ["branch", "branch"]
        guest.start("; ".join(commands), when_ended=session.stop)
        session.run()
        printed = guest.finish()
        events = list(session.events())
    found = [event for event in events if event.probe is probe]
    guest.execute(f"echo > {tracing}/kprobe_events; echo > {tracing}/trace")
    theirs = defaultdict(list)
    for pid, cpu, seconds, rest in re.findall(r"\S+-(\d+) +\[(\d+)\] \S+ +(\d+)\.(\d+): own: ", printed):
        theirs[int(pid)].append((int(cpu), int(seconds) * 10**9 + int(rest) * 1000))
    # The file that switches the kernel's probe on was opened before, the trace is opened after.
    shown = [str(event) for event in found]
    ours = defaultdict(list)
    for event in found[2:-1]:
        ours[event.common["pid"]].append(event.common)
    # Two tasks may come to one probe in one order, and to the other in the other.
    places = {pid: [one["cpu"] for one in hits] for pid, hits in ours.items()}
    assert places == {pid: [cpu for cpu, _ in hits] for pid, hits in theirs.items()}, shown
    assert len({cpu for cpus in places.values() for cpu in cpus}) > 1
    # The kernel shows the last name of a task, ours is the one it had: before exec, that of the shell.
    named = {name: [event.common["comm"] for event in found if event.values["name"] == name] for name in NAMES}
    assert named == {name: ["cat"] for name in NAMES}, shown
    # The shell redirects what runs in the background before it has used its own name of that file.
    assert {"/dev/null", *NAMES} <= {event.values["name"] for event in events if event.probe is copied}
    for pid, hits in theirs.items():
        for one, (_, time) in zip(ours[pid], hits, strict=True):
            assert one["time"] // 1000 * 1000 <= time, (pid, shown)
        for one, (_, time) in zip(ours[pid][1:], hits, strict=False):
            assert time < one["time"], (pid, shown)
    first = found[2].common
    assert shown[2].startswith(f"{first['comm']}-{first['pid']} [{first['cpu']:03}] ")


def test_hits_are_filtered_and_counted_by_task_and_processor_in_the_kernel(guest):
    def measure(hit):
        by_task[hit.pid] += 1
        by_name[hit.comm] += 1
        by_both[hit.comm, hit.cpu] += 1
        if hit.comm == "few":
            emit(tgid=hit.tgid, comm=hit.comm)  # noqa: F821  a word of the language

    with armprobe.attach_kernel(guest.address) as session:
        by_task = session.table("by_task", 256)
        by_name = session.table("by_name", 256, key="char[16]")
        by_both = session.table("by_both", 256, key=("char[16]", "u32"))
        filters = ['COMM == "calls"', 'COMM ~ "f*w"', "common_tgid == 1", *(f"CPU == {n}" for n in range(PROCESSORS))]
        counts = [session.define(f"sys_getppid if {text}") for text in filters]
        session.probe("sys_getppid", measure, compiled=True)
        seen = []
        stops = session.probe(
            "sys_getppid", lambda hit: seen.append((hit.pid, hit.tgid, hit.comm, hit.cpu)),
            when=lambda hit: hit.comm == "few" and hit.cpu == 1,
        )  # fmt: skip
        session.optimize_now()
        assert stops.state == "branch"
        guest.start("calls & few; wait", when_ended=session.stop)
        session.run()
        guest.finish()
        events = [event.values | event.common for event in session.events()]
        hits = [probe.hits for probe in counts]
    assert hits == [PROCESSORS * CALLS, PROCESSORS * FEW, 0, *[CALLS + FEW] * PROCESSORS]
    assert by_name.values() == {"calls": PROCESSORS * CALLS, "few": PROCESSORS * FEW}
    expected = {"calls": CALLS, "few": FEW}
    assert by_both.values() == {(name, cpu): expected[name] for name in expected for cpu in range(PROCESSORS)}
    assert sorted(by_task.values().values()) == [FEW] * PROCESSORS + [CALLS] * PROCESSORS
    assert len(events) == PROCESSORS * FEW
    # A process of one thread has the number of its task.
    assert all(event["comm"] == "few" and event["tgid"] == event["pid"] for event in events)
    on_one = {event["pid"] for event in events if event["cpu"] == 1}
    assert seen == [(pid, pid, "few", 1) for pid in on_one] * FEW


def test_events_come_while_the_guest_works_and_all_that_were_lost_are_counted(guest):
    with armprobe.attach_kernel(guest.address) as session:
        session.define('p:opens do_sys_openat2 name=+0(%r1):ustring if COMM == "cat"')
        calls = session.define('p:calls sys_getppid if COMM == "calls"')
        session.optimize_now()
        opened = []

        def take(event) -> None:
            if event.probe is not calls:
                opened.append(event.values["name"])
                session.stop()

        session.on_event(take)
        guest.start("for n in 1 2 3 4 5 6 7 8; do cat /proc/version; sleep 0.2; done; calls", when_ended=session.stop)
        session.run()
        early = len(opened)
        session.on_event(None)
        session.run()
        guest.finish()
        recorded = sum(event.probe is calls for event in session.events())
        assert early < 8
        assert (recorded + session.lost(calls), calls.hits) == (PROCESSORS * CALLS, PROCESSORS * CALLS)


def test_it_is_measured_how_long_functions_take_which_tasks_sleep_in(guest):
    with armprobe.attach_kernel(guest.address) as session:
        calls, sleeps = session.latency("sys_getppid"), session.latency("do_nanosleep")
        entered = session.count("vfs_read")
        reads = session.latency("vfs_read")
        session.optimize_now()
        assert {probe.state for probe in session.probes} == {"branch"}
        guest.start(
            "calls; for n in 1 2 3; do sleep 0.1; done; cat /proc/version /proc/uptime", when_ended=session.stop
        )
        session.run()
        guest.finish()
        assert (calls.count, calls.missed, calls.unit) == (PROCESSORS * CALLS, 0, "ns")
        assert (sleeps.count, sleeps.missed) == (3, 0)
        assert sleeps.least >= 100_000_000
        # The shell may wait for its next line.
        assert entered.hits - reads.count in (0, 1)
        assert reads.missed == 0


def test_an_interrupt_while_the_session_begins_leaves_nothing(guest, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("armprobe.session.start.Session", interrupted)
    with pytest.raises(KeyboardInterrupt):
        armprobe.attach_kernel(guest.address)
    monkeypatch.undo()
    with armprobe.attach_kernel(guest.address) as session:
        assert session.count("sys_getppid").state == "trap"


def test_symbols_come_from_the_image_that_runs_and_from_no_other(guest, tmp_path):
    with armprobe.attach_kernel(guest.address) as session:
        entry = session.locate("sys_getppid")
    with armprobe.attach_kernel(guest.address, image=KERNEL) as session:
        assert session.locate("sys_getppid") == entry
    other = tmp_path / "System.map"
    other.write_text(guest.execute("sed 's/^c03/c13/' /proc/kallsyms"))
    with pytest.raises(UsageError, match=r"^System.map is of another kernel than the one that runs") as refused:
        armprobe.attach_kernel(guest.address, image=other)
    assert "functions are elsewhere: " in refused.value.evidence
    assert guest.execute("echo well").strip() == "well"


def test_host_handlers_see_each_call_on_every_processor_once(guest):
    parents = []
    with armprobe.attach_kernel(guest.address) as session:
        probe = session.probe("sys_getppid", lambda hit: parents.append(hit.regs.pc))
        # What the emulator copies, and what it says, costs no trap.
        code = session.target.text
        assert session.read_memory(code.start, 1 << 20)
        guest.start("few", when_ended=session.stop)
        session.run()
        guest.finish()
        assert probe.hits == PROCESSORS * FEW
        assert parents == [session.locate("sys_getppid")] * (PROCESSORS * FEW)


def test_command_counts_in_the_kernel_and_says_which_it_is(guest, capsys):
    guest.execute("(while true; do cat /proc/version > /dev/null; done) &")
    arguments = ["--kernel", "--gdb", guest.address, "-e", "do_sys_openat2", "--until", "do_exit"]
    assert main(["stat", *arguments]) == 0
    guest.execute("kill $!")
    printed = capsys.readouterr()
    assert printed.err.startswith("Linux version 6.1.")
    assert "the program came to do_exit" in printed.err
    assert "do_sys_openat2" in printed.out
