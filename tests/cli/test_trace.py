"""`armprobe trace`: events as the kernel's trace file shows them, and as NDJSON."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

from tests.cli.conftest import EXIT

from armprobe.cli import running, trace

BIGGEST = "p:net/big parse_packet buffer=%r0 length=%r1:u32 if length > 72"


def without_times(text: str) -> list[str]:
    """The events, less the time in front of each."""
    return [line.partition(": ")[2] for line in text.splitlines()]


def test_events_are_results_and_all_else_is_not(run, demo):
    outcome = run("trace", demo, "-e", BIGGEST, "--", 300)
    assert outcome.status == 0
    assert outcome.out == (
        "228696: big: (parse_packet+0x0/0x184) buffer=0x9040 length=75\n"
        "288669: big: (parse_packet+0x0/0x184) buffer=0x9040 length=78\n"
    )
    assert outcome.err.startswith("packets 300\n")
    assert outcome.err.endswith(
        "hits  recorded  lost  missed  kind    event  location\n"
        "   2         2     0       0  branch  big    parse_packet\n"
        "2 events of 1 probe; the program ended with exit code 0\n"
    )


def test_json_is_one_object_an_event_and_a_summary(run, demo):
    outcome = run("trace", demo, "-e", BIGGEST, "--json", "--", 300)
    *events, summary = map(json.loads, outcome.out.splitlines())
    assert events == [
        {
            "event": "big",
            "group": "net",
            "number": number,
            "time": time,
            "address": "0x00008514",
            "symbol": "parse_packet+0x0/0x184",
            "values": {"buffer": 0x9040, "length": length},
        }
        for number, (time, length) in enumerate(((228696, 75), (288669, 78)))
    ]
    assert summary["summary"]["probes"] == [
        {
            "event": "big",
            "location": "parse_packet",
            "address": "0x00008514",
            "hits": 2,
            "recorded": 2,
            "lost": 0,
            "missed": 0,
            "kind": "branch",
            "reason": "",
        }
    ]
    assert summary["summary"]["stop"]["message"] == "the program ended with exit code 0"


def test_with_a_file_for_events_standard_output_is_the_program_s(run, demo, tmp_path):
    unprobed = run("stat", demo, "-e", "memcpy", "--", 200).err.rpartition("0 hits")[0]
    outcome = run("trace", demo, "-e", "malloc", "-o", tmp_path / "events.ndjson", "--", 200)
    assert outcome.out == unprobed
    *events, summary = map(json.loads, (tmp_path / "events.ndjson").read_text().splitlines())
    assert (
        len(events) == summary["summary"]["probes"][0]["hits"] == int(outcome.out.split("allocations ")[1].split()[0])
    )


def test_an_event_is_shown_before_what_the_program_prints_after_it(demo):
    command = [sys.executable, "-c", "import sys; from armprobe.cli.main import main; sys.exit(main())"]
    arguments = ["trace", demo, "-e", "p print_number value=%r1:u32 if value == 3", "--", "3"]
    done = subprocess.run(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    )
    assert done.stdout.splitlines()[:2] == ["120483: print_number: (print_number+0x0/0x6c) value=3", "packets 3"]


def test_a_location_alone_is_an_event_named_after_its_place(run, demo):
    outcome = run("trace", demo, "-e", "print_hex", "-e", "fail+4", "-e", "0x8a5c if %r0 == 0", "--", 10)
    assert without_times(outcome.out) == ["fail_0x4: (fail+0x4/0x18)", *["print_hex: (print_hex+0x0/0x64)"] * 3]
    assert [line.split()[-2:] for line in outcome.err.splitlines()[-4:-1]] == [
        ["print_hex", "print_hex"],
        ["fail_0x4", "fail+0x4"],
        ["free", "free"],
    ]


def test_a_pattern_gives_every_function_the_same_arguments(run, demo):
    outcome = run("trace", demo, "-e", "p handle_[tl]* length=%r1:u8", "--", 8)
    assert {line.split("=")[0] for line in without_times(outcome.out)} == {
        "handle_log: (handle_log+0x0/0x28) length",
        "handle_time: (handle_time+0x0/0x34) length",
    }


def test_definitions_come_from_a_file(run, demo, tmp_path):
    (tmp_path / "probes").write_text("# what we look at\n\np:hex print_hex\n  leave\n")
    outcome = run("trace", demo, "-f", tmp_path / "probes", "--", 1)
    assert [line.split(":")[0] for line in without_times(outcome.out)] == ["hex", "hex", "hex", "leave"]


def test_a_file_may_remove_events_and_ends_lines_with_comments(run, demo, tmp_path):
    (tmp_path / "probes").write_text(
        "p:net/hex print_hex    # every one\np:net/hex print_number\np:other leave # at the end\n-:net/hex\n"
    )
    outcome = run("trace", demo, "-f", tmp_path / "probes", "--", 1)
    assert [line.split(":")[0] for line in without_times(outcome.out)] == ["other"]


def test_a_removal_that_removes_nothing_is_shown_with_its_line(run, demo, tmp_path):
    path = tmp_path / "probes"
    path.write_text("p:hex print_hex\n-:hexa\n")
    outcome = run("trace", demo, "-f", path)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", (
        "error[AP100]: there is no event hexa in the lines above\n"
        f"  {path}:2\n"
        "  -:hexa\n"
        "help: it removes what stands above it\n"
    ))  # fmt: skip


def test_events_show_memory_and_faults_as_the_kernel_does(run, demo):
    definition = "p:p parse_packet kind=+0($arg1):u8 name=+0(@type_names):string bytes=+0($arg1):x8[2] none=+0(\\0)"
    outcome = run("trace", demo, "-e", f"{definition} if kind > 1", "--", 3)
    assert (outcome.status, outcome.out) == (0, (
        '116131: p: (parse_packet+0x0/0x184) kind=3 name="ping" bytes={0x3,0x0} none=(fault)\n'
        '118959: p: (parse_packet+0x0/0x184) kind=3 name="ping" bytes={0x3,0x0} none=(fault)\n'
        '120061: p: (parse_packet+0x0/0x184) kind=5 name="ping" bytes={0x5,0x0} none=(fault)\n'
    ))  # fmt: skip
    outcome = run("trace", demo, "-e", f"{definition} if kind == 5", "--json", "--", 3)
    assert json.loads(outcome.out.splitlines()[0])["values"] == {
        "kind": 5,
        "name": "ping",
        "bytes": [5, 0],
        "none": None,
    }


def test_a_variable_that_is_not_there_is_shown_as_it_was_written(run, demo):
    outcome = run("trace", demo, "-e", "p malloc a=@nothing_like_it:u8")
    assert (outcome.status, outcome.err) == (2, (
        "error[AP100]: no symbol is called 'nothing_like_it'\n"
        "  p malloc a=@nothing_like_it:u8\n"
        "              ^\n"
    ))  # fmt: skip


def test_a_mistake_in_a_file_is_shown_with_its_line(run, demo, tmp_path):
    path = tmp_path / "probes"
    path.write_text("p:hex print_hex\np:x malloc size=%r0:u9\n")
    outcome = run("trace", demo, "-f", path)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", (
        "error[AP100]: there is no type 'u9'\n"
        f"  {path}:2\n"
        "  p:x malloc size=%r0:u9\n"
        "                      ^\n"
        "help: types are u8, u16, u32, s8, s16, s32, x8, x16, x32, char, u64, s64, x64, symbol, symstr, string, "
        "b4@0/32, and arrays such as u8[4]\n"
    ))  # fmt: skip


def test_a_file_without_definitions_is_an_error(run, demo, tmp_path):
    (tmp_path / "probes").write_text("# nothing\n")
    outcome = run("trace", demo, "-f", tmp_path / "probes")
    assert (outcome.status, outcome.err) == (2, (
        f"error[AP100]: {tmp_path}/probes has no definition\n"
        "help: write one a line, for example p:packet parse_packet len=%r1\n"
    ))  # fmt: skip


def test_without_anything_to_trace_it_says_how(run, demo):
    outcome = run("trace", demo)
    assert (outcome.status, outcome.err) == (
        2, "error[AP100]: there is nothing to trace\nhelp: say what with -e DEFINITION or -f FILE\n",
    )  # fmt: skip


def test_more_events_than_the_ring_holds_all_arrive_in_order(run, binary):
    code = binary(
        0xE3A04901,  # 8000: mov r4, #0x4000
        0xE0844104,  # 8004: add r4, r4, r4, lsl #2
        0xE2544001,  # 8008: subs r4, r4, #1
        0x1AFFFFFD,  # 800c: bne 0x8008
        *EXIT,
    )
    outcome = run("trace", code, "--base", "0x8000", "-e", "p:n 0x8008 n=%r4:u32")
    assert outcome.out.splitlines() == [
        f"{2 + 2 * passed}: n: (0x00008008) n={0x14000 - passed}" for passed in range(0x14000)
    ]
    assert outcome.err.endswith("81,920 events of 1 probe; the program ended with exit code 0\n")


def test_an_event_is_shown_while_the_program_goes_on_in_silence(binary):
    code = binary(0xE3A00007, 0xE1A00000, 0xEAFFFFFE)  # mov r0, #7; nop; b .
    command = [sys.executable, "-c", "import sys; from armprobe.cli.main import main; sys.exit(main())"]
    arguments = ["trace", code, "--base", "0x8000", "-e", "p:seven 0x8004 value=%r0:u8"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1: seven: (0x00008004) value=7\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("1 event of 1 probe; interrupted at 0x00008008\n\n")


def test_a_background_job_shows_events_at_once_and_ends_by_sigterm(binary):
    """A shell lets the jobs that it starts in the background ignore SIGINT."""
    code = binary(0xE3A00007, 0xE1A00000, 0xEAFFFFFE)  # mov r0, #7; nop; b .
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    command = [sys.executable, "-c", f"{ignoring}; import sys; from armprobe.cli.main import main; sys.exit(main())"]
    arguments = ["trace", code, "--base", "0x8000", "-e", "p:seven 0x8004 value=%r0:u8"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1: seven: (0x00008004) value=7\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.endswith("1 event of 1 probe; interrupted at 0x00008008\n\n")


def test_stopping_often_to_show_events_changes_nothing(run, demo, monkeypatch):
    usual = run("trace", demo, "-e", "p parse_packet length=%r1:u32", "-e", "crc32+8", "--", 2000)
    monkeypatch.setattr(running, "STRETCH_SECONDS", 0.0001)
    assert run("trace", demo, "-e", "p parse_packet length=%r1:u32", "-e", "crc32+8", "--", 2000) == usual


def test_on_a_terminal_an_event_begins_a_new_line(run, demo, monkeypatch):
    monkeypatch.setattr(trace.sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("click.echo", lambda text="", nl=True, err=False: sys.stdout.write(
        (text if isinstance(text, str) else text.decode()) + "\n" * nl))  # fmt: skip
    outcome = run("trace", demo, "-e", "p:p print text=%r0", "--until", "print_hex", "--", "1")
    assert [re.sub(r"^\d+: |=.*", "", line) for line in outcome.out.splitlines()[:8]] == [
        "p: (print+0x0/0x14) text", "packets",
        "p: (print+0x0/0x14) text", " ",
        "p: (print+0x0/0x14) text", "1",
        "p: (print+0x0/0x14) text", "",
    ]  # fmt: skip


def test_a_closed_standard_output_is_no_trouble(run, demo, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    outcome = run("trace", demo, "-e", "malloc", "--", 10)
    assert (outcome.status, outcome.err.splitlines()[-1]) == (
        0, "3 events of 1 probe; the program ended with exit code 0",
    )  # fmt: skip
