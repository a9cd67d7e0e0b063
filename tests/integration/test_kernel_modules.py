"""Probes in the modules of a stock Debian kernel, which come and go while its processors work."""

import os
import random
import re
from collections import Counter
from itertools import takewhile

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, need_guest, sending_program

import armprobe
from armprobe.cli.main import main
from armprobe.errors import Refused, UsageError
from armprobe.session import Session
from armprobe.targets.debian import modules_for
from armprobe.targets.linuxguest import start_guest
from armprobe.verification.kernelsites import classify, sample_functions

PROCESSORS, PACKETS, SEED = 4, 1000, 1
ROUNDS = int(os.environ.get("ARMPROBE_ROUNDS", "2"))
PLACES = int(os.environ.get("ARMPROBE_PLACES", "1000"))
#: without IPv6, nobody but the program sends there
#: for instructions that the processor does not have; in the order in which they are loaded
FAILING = "sha1_arm", "sha1_arm_ce"
UP = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; insmod /modules/dummy.ko; ifconfig dummy0 10.1.1.1 up"
#: packets go to a device that answers nobody
ROUTED = "ifconfig eth0 10.1.1.1 up; arp -s 10.1.1.2 52:55:0a:00:02:02"
DOWN = "ifconfig eth0 down; ifconfig eth0 0.0.0.0"
TABLES = "cd /sys/module/virtio_net/sections; for name in .init.text __*; do echo $name $(cat $name); done"
SENT = "cat /sys/class/net/dummy0/statistics/tx_packets"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 10 * ROUNDS)]


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    need_guest()
    programs = {"bin/sends": sending_program(tmp_path_factory.mktemp("sends"), processors=PROCESSORS, packets=PACKETS)}
    loaded = modules_for(KERNEL, "virtio_mmio") | modules_for(KERNEL, "virtio_net")
    files = loaded | modules_for(KERNEL, "dummy") | modules_for(KERNEL, FAILING[-1])
    programs |= {f"modules/{name}.ko": content for name, content in files.items()}
    options = ["-device", "virtio-net-device,netdev=net", "-netdev", "user,id=net,restrict=on"]
    with start_guest(KERNEL, BUSYBOX, programs=programs, processors=PROCESSORS, options=options) as running:
        running.execute("; ".join(f"insmod /modules/{name}.ko" for name in loaded))
        yield running
        assert not {"Oops", "WARNING", "BUG"} & set(running.execute("dmesg").replace(":", " ").split())
        assert running.power_off() == 0


@pytest.fixture
def dummy(guest):
    """A module whose function is called for each packet, and which counts them itself."""
    guest.execute(UP)
    yield guest
    guest.execute("rmmod dummy")


def code_of(session, module):
    (part,) = (part for part in session.symbols.objects if part.name == module)
    return session.target.read_memory(part.start, part.end - part.start)


def sends(guest, session, command="sends"):
    guest.start(command, when_ended=session.stop)
    session.run()
    return guest.finish()


def test_calls_of_a_module_on_four_processors_are_counted_exactly_and_nothing_stays_behind(dummy):
    with armprobe.attach_kernel(dummy.address) as session:
        before = code_of(session, "dummy")
        # Its first instruction, and one behind the place of the tracer.
        calls, inside = session.count_all(["dummy:dummy_xmit", "dummy_xmit+0xc"])
        event = session.define('p:xmit dummy:dummy_xmit skb=%r0 if COMM == "sends"')
        session.optimize_now()
        assert [probe.state for probe in (calls, inside, event)] == ["branch"] * 3
        sent = int(sends(dummy, session, f"sends; {SENT}"))
        assert sent == PROCESSORS * PACKETS
        assert (calls.hits, inside.hits, event.hits) == (sent, sent, sent)
        events = list(session.events())
        assert len(events) + session.lost(event) == sent
        assert re.fullmatch(
            r"sends-\d+ \[00[0-3]\] [\d.]+: xmit: \(dummy_xmit\+0x0/0xa4 \[dummy\]\) skb=0x[0-9a-f]{8}", str(events[0])
        )
        session.unregister_all([calls, inside, event])
        assert code_of(session, "dummy") == before


def test_names_and_places_are_those_that_the_kernel_shows(guest):
    shown = guest.execute("cat /proc/kallsyms")
    sections = guest.execute(
        "cd /sys/module/virtio_net/sections; for name in .[a-z]*; do echo $name $(cat $name); done"
    )
    found = re.findall(r"^([0-9a-f]{8}) [tT] ([^$]\S*)\t\[(\S+)\]$", shown, re.MULTILINE)
    expected = {(int(address, 16), name, module) for address, name, module in found}
    with armprobe.attach_kernel(guest.address) as session:
        table = session.symbols
        parts = {part.name for part in table.objects}
        names = {
            (symbol.address, symbol.name, part.name)
            for symbol in table.symbols
            if (part := table.object_at(symbol.address)) is not None
        }
        assert {"virtio_net", "net_failover", "failover", "virtio_mmio"} <= parts
        # What ran when a module was loaded, it shows no more.
        assert names == {known for known in expected if known[2] in parts}
        places = dict(line.split() for line in sections.splitlines())
        for name in (".init.text", ".rodata", ".data"):
            assert table.refusal(int(places[name], 16)) == "outside of the kernel's own code"
        entry = int(next(address for address, name, _ in found if name == "start_xmit"), 16)
        assert session.locate("virtio_net:start_xmit") == session.locate("start_xmit") == entry
        assert table.place(entry) == f"start_xmit+0x0/{table.at(entry)[0].size:#x} [virtio_net]"


def test_instructions_of_a_driver_are_probed_as_it_is_said_of_them_and_it_works_on(guest):
    tables = {name: int(place, 16) for name, place in (line.split() for line in guest.execute(TABLES).splitlines())}
    with armprobe.attach_kernel(guest.address) as session:
        table = classify(session, sample_functions(session, None, seed=SEED, module="virtio_net"))
        refused = Counter()
        for (way, reason), count in table.counts.items():
            refused[re.sub(r"^lies between.*", "exclusive", reason)] += count if way == "refused" else 0
        assert {way for way, _ in table.counts} == {"branch", "refused"}
        assert len(table.branches) > 0.95 * table.counts.total()
        (driver,) = (part for part in session.symbols.objects if part.name == "virtio_net")

        def listed(name: str, stride: int) -> int:
            """How many places in the driver's code a table has, which zeros follow, or the next section."""
            words = memoryview(session.read_memory(tables[name], 0x400)).cast("I")[::stride]
            places = takewhile(lambda word: driver.start <= word < driver.end or word in starts, words)
            return sum(driver.start <= word < driver.end for word in places)

        starts = range(tables[".init.text"], tables[".init.text"] + 0x1000)
        labels = "is a no-op or branch that the kernel changes when it likes (a jump label)"
        calls = "is the place of a call of the function tracer, which the kernel may change (ftrace)"
        assert (refused[labels], refused[calls]) == (listed("__jump_table", 3), listed("__mcount_loc", 1))
        assert min(refused[labels], refused[calls], refused["exclusive"]) > 0
        before = code_of(session, "virtio_net")
        probes = session.count_all(random.Random(SEED).sample(table.branches, PLACES))
        assert session.optimize_now() == PLACES
        sends(guest, session, f"{ROUTED}; sends; {DOWN}")
        assert {probe.state for probe in probes} == {"branch"}
        assert sum(probe.hits > 0 for probe in probes) > PLACES // 20
        session.unregister_all(probes)
        assert code_of(session, "virtio_net") == before


def test_module_that_goes_takes_its_probes_along_and_is_not_counted_when_it_comes_again(dummy):
    with armprobe.attach_kernel(dummy.address) as session:
        branch = session.define("p:xmit dummy:dummy_xmit")
        left = session.count("dummy_cleanup_module")
        measured = session.latency("dummy:dummy_xmit")
        session.optimize_now()
        trap = session.probe("dummy:dummy_get_stats64", lambda hit: None)
        asked = session.count("dummy:dummy_xmit+0x10")
        assert [probe.state for probe in (branch, left, trap, asked)] == ["branch", "branch", "trap", "trap"]
        printed = sends(dummy, session, f"sends; {SENT}; rmmod dummy; {UP}; sends; {SENT}")
        sent, again = map(int, printed.split())
        assert sent == again == PROCESSORS * PACKETS
        assert [probe.state for probe in (branch, left, trap, asked)] == ["unloaded"] * 4
        assert (branch.hits, asked.hits, left.hits) == (sent, sent, 1)
        assert trap.hits >= 1
        assert (measured.count, measured.missed) == (sent, 0)
        assert 0 < measured.least <= measured.mean <= measured.greatest
        assert not session.probes
        # It is there again, perhaps where it was, and as it was.
        anew = session.count("dummy:dummy_xmit")
        assert session.optimize_now() == 1
        events = list(session.events())
        assert {str(event).partition(": xmit: ")[2] for event in events} == {"(dummy_xmit+0x0/0xa4 [dummy])"}
        assert int(sends(dummy, session, f"sends; {SENT}")) == again + sent
        assert (anew.hits, branch.hits) == (sent, sent)


def test_module_comes_and_goes_again_and_again_under_probes_while_it_works(dummy):
    """Memory for slots is used again; packets are under way whenever the module goes."""
    with armprobe.attach_kernel(dummy.address, memory=1 << 16) as session:
        kernel = session.count("dev_hard_start_xmit")
        for number in range(ROUNDS):
            functions = [symbol.address for symbol in session.symbols.matching("dummy:*")]
            wanted = [place for start in functions for place in range(*session.symbols.function_bounds(start), 4)]
            probes = session.count_all([place for place in wanted if not session.explain(place).refused])
            if number % 2:
                session.optimize_now()
            before = kernel.hits
            sends(dummy, session, f"sends & sleep 0.0{number % 10}; rmmod dummy; wait; {UP}")
            assert {probe.state for probe in probes} == {"unloaded"}, number
            assert max(probe.hits for probe in probes) > 0
            assert kernel.hits >= before
        assert kernel.state == "branch"


def test_module_that_has_gone_before_it_is_probed_is_not_known_any_more(dummy):
    with armprobe.attach_kernel(dummy.address) as session:
        place = session.locate("dummy_xmit")
        sends(dummy, session, "rmmod dummy")
        with pytest.raises(UsageError, match=r"^no symbol is called 'dummy_xmit'$"):
            session.count("dummy_xmit")
        with pytest.raises(Refused, match=r" is outside of the "):
            session.count(place)
        sends(dummy, session, UP)
        assert session.count("dummy:dummy_xmit").state == "trap"


def test_module_that_is_loaded_later_is_probed_before_any_code_of_it_runs(guest):
    """Nothing of the kind is loaded before, but other modules are."""
    with armprobe.attach_kernel(guest.address) as session:
        planted = []

        def plant() -> None:
            planted.append(session.count_all(["dummy:dummy_setup", "dummy_xmit"]))

        awaited = session.on_load("dum?y", plant)
        assert (awaited.loads, planted) == (0, [])
        sent = int(sends(guest, session, f"{UP}; sends; {SENT}"))
        sends(guest, session, f"rmmod dummy; {UP}; rmmod dummy")
        assert sent == PROCESSORS * PACKETS
        assert [[probe.hits for probe in probes] for probes in planted] == [[1, sent], [1, 0]]
        assert (awaited.loads, awaited.hits, awaited.problem) == (2, sent + 2, "")
        assert {probe.state for probe in awaited.probes} == {"unloaded"}
        assert not session.probes


def test_every_instruction_of_a_module_is_probed_that_of_its_start_too_and_given_back_before_that_is_freed(guest):
    """What runs once is executed, counted, and gone; the module works on."""
    wanted = {"init_module": 1, "dummy_xmit": PROCESSORS * PACKETS, "dummy_cleanup_module": 1}
    with armprobe.attach_kernel(guest.address) as session:
        planted, stops, kinds = [], [], []

        def plant() -> None:
            starts = session.places("dummy:*")
            words = {word for start in starts for word in range(*session.symbols.function_bounds(start), 4)}
            planted.append(session.count_all([word for word in sorted(words) if not session.explain(word).refused]))
            stops.append(session.probe("dummy:dummy_init_module+8", look))

        def look(hit: armprobe.Hit) -> None:
            kinds.append(Counter(probe.state for probe in planted[-1]))

        awaited = session.on_load("dummy", plant)
        for number in range(ROUNDS):
            assert int(sends(guest, session, f"{UP}; sends; {SENT}; rmmod dummy")) == PROCESSORS * PACKETS
            # The kernel frees it in its own time.
            session.run(between=lambda: all(probe.state == "unloaded" for probe in awaited.probes), every=0.05)
            hits = {probe.place.rpartition(":")[2]: probe.hits for probe in planted[-1]}
            assert {name: hits.get(name) for name in wanted} == wanted, (number, hits)
            assert (stops[-1].hits, kinds[-1]) == (1, {"branch": len(planted[-1])})
        assert (awaited.loads, awaited.problem) == (ROUNDS, "")
        assert not session.probes


def test_start_of_a_module_that_fails_is_counted_and_gone_with_the_module(guest):
    with armprobe.attach_kernel(guest.address) as session:
        awaited = session.on_load("sha1_arm_ce", lambda: session.count_all(session.places("sha1_arm_ce:*")))
        loads = "; ".join(f"insmod /modules/{name}.ko 2> /dev/null" for name in FAILING)
        printed = sends(guest, session, f"{loads}; echo $?; rmmod sha1_arm")
        assert printed.strip() == "19"  # ENODEV
        session.run(between=lambda: all(probe.state == "unloaded" for probe in awaited.probes), every=0.05)
        # busybox tries again, by another system call.
        assert awaited.hits == awaited.loads >= 1
        assert not awaited.problem
        assert len(awaited.probes) > 1
        assert not session.probes


@pytest.fixture
def when_it_runs(guest, monkeypatch):
    """Have the guest execute a line when a command has planted its probes."""

    def begin_with(line):
        run = Session.run

        def begin(session, **options):
            guest.start(line)
            return run(session, **options)

        monkeypatch.setattr(Session, "run", begin)

    yield begin_with
    guest.finish()


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded before", "pending"])
def test_command_counts_in_a_module_and_says_that_it_was_unloaded(guest, when_it_runs, capsys, loaded):
    if loaded:
        guest.execute(UP)
    when_it_runs(f"{'true' if loaded else UP}; sends; rmmod dummy; hostname done")
    arguments = ["--kernel", "--gdb", guest.address, "--until", "sys_sethostname"]
    assert main(["stat", *arguments, "-e", "dummy:*", *([] if loaded else ["--pending"])]) == 0
    printed = capsys.readouterr()
    rows = {tuple(line.split()[:1] + line.split()[2:3] + line.split()[4:5]) for line in printed.out.splitlines()}
    assert {("4,000", "unloaded", "dummy:dummy_xmit"), ("1", "unloaded", "dummy:dummy_cleanup_module")} <= rows
    assert (("0" if loaded else "1"), "unloaded", "dummy:dummy_setup") in rows
