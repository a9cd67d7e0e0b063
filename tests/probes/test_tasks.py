"""The task and the processor of a hit: in definitions, filters, conditions and handlers, compiled and on the host.

Where Linux has its task, a program in the emulator has a structure of its own here: its numbers are in registers, which
change with each pass, and its name is one of four.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.codegen.python_functions import define
from tests.probes.program import BASE, END, LOOP, PASSES, WORDS, start

from armprobe import Refused, Session, UsageError
from armprobe.events.record import COMM_TYPE, TYPES
from armprobe.events.source import KnownText, Read
from armprobe.isa.reading import CoreRegister, Masked, Sum
from armprobe.targets.capabilities import Task

#: the first has something behind its end, as Linux had once
NAMES = (b"sh\0and the rest", b"cat", b"kworker/0:1-eve", b"bash")
PLACE = BASE + 4 * len(WORDS)
TASK = Task(CoreRegister("r0"), CoreRegister("r1"), Sum(Masked(CoreRegister("r0"), 0x30), PLACE))
SITE = LOOP + 4
TOO_LONG = "the name of a task has at most 15 bytes, and this needs 16"


@pytest.fixture
def session(monkeypatch):
    data = b"".join(name.ljust(16, b"\0") for name in NAMES)
    names = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    with start([*WORDS, *names]) as opened:
        monkeypatch.setattr(type(opened.target), "task", TASK)
        monkeypatch.setattr(type(opened.target), "no_task", "")
        yield opened


def name_of(number: int) -> str:
    return NAMES[number >> 4 & 3].partition(b"\0")[0].decode()


#: number of the task, number of its process, its name; the registers of each pass
PASSED = [(number, PASSES + 1 - number, name_of(number)) for number in range(1, PASSES + 1)]


def events_of(session: Session, definition: str) -> list[dict[str, object]]:
    probe = session.define(definition)
    session.optimize_now()
    assert probe.state == "branch"
    session.run(until=END)
    return [event.values for event in session.events()]


def test_arguments_are_stored_once_where_every_record_has_them_anyway(session):
    plain = session.define(f"p:plain {SITE:#x} a=%r0")
    probe = session.define(
        f"p:e {SITE:#x} a=%r0 name=$comm also=$comm:string pid=$common_pid:s32 group=$common_tgid cpu=$common_cpu"
    )
    session.optimize_now()
    session.run(until=END)
    events = [event for event in session.events() if event.probe is probe]
    assert [tuple(event.values.values()) for event in events] == [
        (pid, name, name, pid, tgid, 0) for pid, tgid, name in PASSED
    ]
    first = str(events[0])
    assert first.startswith("sh-1 ")
    assert first.endswith(' a=0x1 name="sh" also="sh" pid=1 group=100 cpu=0')
    assert probe.layout.words - plain.layout.words == 2  # process and processor
    array = session.to_numpy(probe)
    assert array.dtype.names == ("common_time", "common_pid", "common_comm", "a", "name", "also", "pid", "group", "cpu")


def test_arrays_and_tables_have_the_names(session):
    probe = session.define(f"p:e {SITE:#x} name=$comm")
    session.run(until=END)
    assert session.to_numpy(probe)["name"].tolist() == [name for _, _, name in PASSED]
    column = session.to_arrow().column("e").to_pylist()
    assert [row["name"] for row in column] == [name for _, _, name in PASSED]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("common_pid == 17", lambda pid, tgid, name: pid == 17),
        ("common_pid > 90 || common_tgid > 95", lambda pid, tgid, name: pid > 90 or tgid > 95),
        ("common_tgid & 1 && %r0 < 50", lambda pid, tgid, name: bool(tgid & 1) and pid < 50),
        ("common_cpu == 0 && CPU < 1 && cpu != 5", lambda pid, tgid, name: True),
        ("common_cpu > 0", lambda pid, tgid, name: False),
        ('comm == "cat"', lambda pid, tgid, name: name == "cat"),
        ('COMM == "sh"', lambda pid, tgid, name: name == "sh"),
        ('COMM == "s"', lambda pid, tgid, name: False),
        ('COMM == "bash"', lambda pid, tgid, name: name == "bash"),
        ('COMM != "kworker/0:1-eve"', lambda pid, tgid, name: name != "kworker/0:1-eve"),
        ('COMM ~ "kworker/*"', lambda pid, tgid, name: name.startswith("kworker/")),
        ('COMM ~ "*sh"', lambda pid, tgid, name: name.endswith("sh")),
        ('COMM ~ "[bc]a*"', lambda pid, tgid, name: name in ("cat", "bash")),
        ('COMM ~ "??"', lambda pid, tgid, name: name == "sh"),
        ('COMM ~ "*or*ev*"', lambda pid, tgid, name: name.startswith("kworker")),
        ('COMM ~ "*" && !(COMM == "")', lambda pid, tgid, name: True),
        ('n == "bash" && common_pid < 60', lambda pid, tgid, name: name == "bash" and pid < 60),
    ],
)  # fmt: skip
def test_filters_are_decided_in_the_target_and_on_the_host_alike(session, condition, holds):
    expected = [passed for passed in PASSED if holds(*passed)]
    seen = []
    if "n ==" not in condition:
        session.probe(SITE, lambda hit: seen.append((hit.pid, hit.tgid, hit.comm)), when=condition)
        session.count(SITE)
        session.probe(SITE, lambda hit: None, when="%r0 == 5 || %r0 == 50")
    session.define(f"p:e {SITE:#x} pid=$common_pid tgid=$common_tgid n=$comm if {condition}")
    session.optimize_now()
    session.run(until=END)
    assert [tuple(event.values.values()) for event in session.events()] == expected
    assert "n ==" in condition or seen == expected


@pytest.mark.parametrize(
    "condition",
    [
        lambda hit: hit.pid == 17,
        lambda hit, r1: hit.tgid == r1 and hit.cpu == 0,
        lambda hit: hit.comm == "cat",
        lambda hit: hit.comm != "cat" and "sh" in hit.comm,
        lambda hit: hit.comm.startswith("kw") or hit.comm.endswith("ash"),
        lambda hit: "kworker" not in hit.comm,
    ],
)
def test_conditions_in_python_are_decided_in_the_target_and_on_the_host_alike(session, condition):
    class Hit:
        def __init__(self, passed: tuple[int, int, str]) -> None:
            self.pid, self.tgid, self.comm = passed
            self.cpu = 0

    takes_r1 = condition.__code__.co_argcount == 2
    expected = [
        passed for passed in PASSED
        if (condition(Hit(passed), passed[1]) if takes_r1 else condition(Hit(passed)))
    ]  # fmt: skip
    on_host, compiled = [], session.counter("compiled")

    def add():
        compiled.add()

    session.probe(SITE, lambda hit: on_host.append((hit.pid, hit.tgid, hit.comm)), when=condition)
    session.probe(SITE, add, compiled=True, when=condition)
    session.probe(SITE, lambda hit: None, when="%r0 & 1")
    session.optimize_now()
    session.run(until=END)
    assert on_host == expected
    assert compiled.total == len(expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_handlers_know_the_task(session, compiled):
    def handler(hit, r0):
        by_task[hit.pid] += hit.tgid
        if hit.comm == "cat" or hit.comm.startswith("ba"):
            emit(name=hit.comm, pid=hit.pid, twice=hit.tgid * 2, r0=r0)  # noqa: F821  a word of the language

    by_task = session.table("by_task", 256)
    probe = session.probe(SITE, handler if compiled else session.on_host(handler), compiled=compiled)
    session.optimize_now()
    session.run(until=END)
    assert by_task.values() == {pid: tgid for pid, tgid, _ in PASSED}
    events = list(session.events())
    assert [tuple(event.values.values()) for event in events] == [
        (name, pid, 2 * tgid, pid) for pid, tgid, name in PASSED if name in ("cat", "bash")
    ]
    assert Counter(event.common["comm"] for event in events) == Counter(event.values["name"] for event in events)
    assert probe.faults == 0


@pytest.mark.parametrize("compiled", [True, False])
def test_tables_have_the_names_of_tasks_as_keys(session, compiled):
    def handler(hit, r0):
        by_name[hit.comm] += r0
        by_both[hit.comm, hit.pid & 1] += 1
        short[hit.comm] += 1

    by_name = session.table("by_name", 16, key="char[16]")
    by_both = session.table("by_both", 16, key=("char[16]", "u32"))
    short = session.table("short", 16, key="char[4]")
    session.probe(SITE, handler if compiled else session.on_host(handler), compiled=compiled)
    session.optimize_now()
    session.run(until=END)
    expected, both = Counter(), Counter()
    for pid, _, name in PASSED:
        expected[name] += pid
        both[name, pid & 1] += 1
    # What stands behind the end of a name is no part of it.
    assert (by_name.values(), by_both.values()) == (expected, both)
    assert set(short.values()) == {"sh", "cat", "kwor…", "bash…"}


def test_events_are_summed_up_by_task(session):
    session.define(f"p:own {SITE:#x} down=%r1:u32 name=$comm")
    session.optimize_now()
    by = {
        keys: session.trigger(f"own.hist:keys={keys}")
        for keys in ("comm", "name", "COMM,common_cpu:vals=down", "common_pid.execname:sort=common_pid", "common_tgid")
    }
    by["filtered"] = session.trigger('own.hist:keys=COMM if COMM ~ "*sh" && common_pid > 50')
    session.run(until=END)
    names = Counter(name for _, _, name in PASSED)
    rows = {keys: {row.key: row.hitcount for row in found.rows()} for keys, found in by.items()}
    assert rows["comm"] == rows["name"] == names
    assert rows["COMM,common_cpu:vals=down"] == {(name, 0): count for name, count in names.items()}
    assert rows["common_pid.execname:sort=common_pid"] == {(pid, name): 1 for pid, _, name in PASSED}
    assert rows["common_tgid"] == dict.fromkeys(range(1, PASSES + 1), 1)
    assert rows["filtered"] == Counter(name for pid, _, name in PASSED if name.endswith("sh") and pid > 50)
    lines = str(by["common_pid.execname:sort=common_pid"]).splitlines()
    assert lines[5:7] == [
        "{ common_pid: sh               [         1] }  hitcount:          1",
        "{ common_pid: sh               [         2] }  hitcount:          1",
    ]
    assert "{ comm: kworker/0:1-eve  }  hitcount:         " in str(by["comm"])


def test_the_fields_of_a_task_are_those_of_its_structure(session):
    fields = session.hit_fields
    assert fields.find("common_pid") == (Read(TASK.pid), TYPES["s32"])
    assert fields.find("COMM") == fields.find("comm") == (KnownText(TASK.comm, 16), COMM_TYPE)
    assert fields.find("common_flags") is None


@pytest.mark.parametrize(
    ("definition", "at", "message", "hint"),
    [
        ('p foo if COMM == "sixteen characte"', '"sixteen', TOO_LONG, "Linux cuts longer names"),
        ('p foo if COMM ~ "*sixteen characte"', '"*six', TOO_LONG, "Linux cuts longer names"),
        ("p foo if COMM == 5", "COMM", "a field of type string can't be compared yet",
         "numbers and strings can: +0(%r0):u8 is a number"),
        ('p foo if common_pid == "cat"', '"cat', "only a field of type string in memory is compared with a string", ""),
        ("p foo if pid == 5", "pid", "there is no field 'pid'",
         "common_pid is the number of the task (thread), common_tgid that of its process"),
        ("p foo if common_flags == 5", "common_flags", "there is no field 'common_flags'",
         "of every hit there are common_pid, common_tgid, common_cpu, comm"),
        ("p foo $comm:u32", "u32", "the name of a task is a string, not u32", ""),
        ("p foo +0($comm):u8", "$comm", "$comm is a string, and no address", ""),
        ("p foo $common_pid:string", "string", "a string is in memory", "write +0($common_pid):string"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_of_a_task_is_refused_with_a_caret(session, definition, at, message, hint):
    definition = definition.replace("foo", f"{SITE:#x}")
    with pytest.raises(UsageError) as caught:
        session.define(definition)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    line, caret = caught.value.evidence.splitlines()
    assert line[len(caret) - 1 :].startswith(at)


def test_a_name_that_all_tasks_have_takes_no_room_in_records(session, monkeypatch):
    monkeypatch.setattr(type(session.target), "task", Task(CoreRegister("r0"), None, "program"))
    monkeypatch.setattr(type(session.target), "no_task", "nobody says so")
    probe = session.define(f"p:e {SITE:#x} a=%r1 if common_pid == 17")
    session.define(f"p:all {SITE:#x}")
    session.optimize_now()
    session.run(until=END)
    numbers = session.to_numpy(probe)
    assert probe.layout is not None
    assert probe.layout.words == 1 + 2 + 1 + 1  # the time, the number, r1
    assert (numbers["common_pid"].tolist(), numbers["common_comm"].tolist()) == ([17], ["program"])
    assert set(session.to_arrow().column("comm").to_pylist()) == {"program"}
    events = list(session.events())
    assert len(events) == PASSES + 1
    assert all(str(event).startswith(f"program-{event.common['pid']} ") for event in events)


def test_what_a_target_does_not_know_of_its_tasks_is_refused(session, monkeypatch):
    monkeypatch.setattr(type(session.target), "task", Task(CoreRegister("r0"), None, "program"))
    monkeypatch.setattr(type(session.target), "no_task", "nobody says so")
    for name, definition in (("comm", f"p {SITE:#x} $comm"), ("common_tgid", f"p {SITE:#x} if common_tgid == 1")):
        with pytest.raises(UsageError, match=f"^{name} is not known here: nobody says so$"):
            session.define(definition)
    with pytest.raises(UsageError, match=r"^the comm of a hit is not known here: nobody says so$"):
        session.probe(SITE, print, when=lambda hit: hit.comm == "x")
    session.probe(SITE, lambda hit: hit.tgid)
    with pytest.raises(Refused, match=r"does not know the tgid of a hit: nobody says so$"):
        session.run(until=END)


WHY = "what tasks a program without Linux has is not known"


@pytest.mark.parametrize("name", ["common_pid", "common_tgid", "COMM", "comm"])
def test_where_there_are_no_tasks_filters_and_arguments_say_so(name):
    with start() as session:
        for definition in (f"p {SITE:#x} ${name}", f"p {SITE:#x} if {name} == 1"):
            with pytest.raises(UsageError) as caught:
                session.define(definition)
            assert caught.value.message == f"{name} is a field of tasks, and there are none here: {WHY}"
            assert caught.value.hint == "a live kernel has them: --kernel, attach_kernel()"
        assert session.define(f"p {SITE:#x} $common_cpu if CPU == 0").layout.words == 4


def test_where_there_are_no_tasks_handlers_say_so():
    def handler(hit):
        emit(name=hit.comm)  # noqa: F821  a word of the language

    with start() as session:
        for place in ({"handler": handler, "compiled": True}, {"handler": print, "when": lambda hit: hit.pid == 5}):
            with pytest.raises(UsageError, match=f"^there are no tasks here: {WHY}$"):
                session.probe(SITE, **place)
        with pytest.raises(UsageError, match=f"^there are no tasks here: {WHY}$"):
            session.on_host(handler)
        session.probe(SITE, lambda hit: hit.pid)
        with pytest.raises(Refused, match=rf"^Unicorn \(cortex-a15\) has no task: {WHY}$"):
            session.run(until=END)


@pytest.mark.parametrize(
    ("lines", "at", "message", "hint"),
    [
        (["x = hit.comm"], "hit.comm", "a string is no value of its own",
         'compare it, hit.comm == "cat", or write emit(comm=hit.comm)'),
        (["emit(name=hit.comm)", "emit(name=string(hit.pc))"], "string(hit.pc)",
         "the field 'name' is the name of the task elsewhere", ""),
        (["emit(name=string(hit.pc))", "emit(name=hit.comm)"], "hit.comm",
         "the field 'name' is another string elsewhere", ""),
        (["emit(name=hit.comm)", "emit(name=hit.pid)"], "hit.pid", "the field 'name' is string elsewhere", ""),
    ],
)  # fmt: skip
def test_what_a_handler_cannot_do_with_the_name_is_refused(session, lines, at, message, hint):
    handler = define("def handler(hit):\n" + "".join(f"    {line}\n" for line in lines))
    with pytest.raises(UsageError) as caught:
        session.probe(SITE, handler, compiled=True)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    *_, line, caret = caught.value.evidence.splitlines()
    assert line[caret.index("^") :].startswith(at)
