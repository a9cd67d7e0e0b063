"""`armprobe stat`, as a person and as a program sees it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

from tests.cli.conftest import EXIT

from armprobe.targets.base import StopReason
from armprobe.targets.unicorn import UnicornTarget

ARMPROBE = [sys.executable, "-c", "import sys; from armprobe.cli.main import main; sys.exit(main())"]


def own_numbers(printed: str) -> dict[str, str]:
    return dict(line.split(" ") for line in printed.splitlines() if line.count(" ") == 1)


def test_the_table_is_sorted_by_hits_and_equal_to_what_the_firmware_counted(run, demo):
    outcome = run("stat", demo, "-e", "malloc", "-e", "free", "-e", "parse_packet", "--", 1000)
    assert outcome.status == 0
    assert re.sub(r"  [789]  ", "  N  ", outcome.out) == (
        " hits  added  kind    address     location\n"
        "1,112      N  branch  0x00008514  parse_packet\n"
        "  245      N  branch  0x0000898c  malloc\n"
        "  237      N  branch  0x00008a5c  free\n"
    )
    own = own_numbers(outcome.err)
    assert (own["parse_packet"], own["allocations"], own["frees"]) == ("1112", "245", "237")
    assert outcome.err.endswith("\n1,594 hits of 3 probes; the program ended with exit code 0\n")


def test_a_filter_is_tested_in_the_target(run, demo):
    outcome = run("stat", demo, "-e", "parse_packet if %r1 > 60", "--json", "--", 1000)
    everything = run("trace", demo, "-e", "p:packet parse_packet length=%r1:u32", "--json", "--", 1000)
    lengths = [json.loads(line).get("values", {}).get("length", 0) for line in everything.out.splitlines()]
    assert json.loads(outcome.out)["probes"][0]["hits"] == sum(length > 60 for length in lengths) > 0


def test_json_is_one_object(run, demo):
    outcome = run("stat", demo, "-e", "malloc+4", "--json", "--", 100)
    (explained,) = json.loads(run("explain", demo, "malloc+4", "--json").out)
    assert json.loads(outcome.out) == {
        "probes": [
            {
                "location": "malloc+0x4",
                "address": "0x00008990",
                "hits": 29,
                "kind": "branch",
                "reason": "",
                "instructions_added": explained["instructions_added"],
            }
        ],
        "skipped": [],
        "stop": {
            "reason": "exit",
            "address": "0x00008df8",
            "symbol": "leave+0x14",
            "exit_code": 0,
            "message": "the program ended with exit code 0",
        },
    }


def test_what_a_pattern_names_and_cannot_be_probed_is_told(run, demo):
    outcome = run("stat", demo, "-e", "[bm]*s*t", "--", 1)
    assert outcome.status == 0
    assert outcome.err.splitlines()[0] == (
        "skipped: bss_start (0x00009040) is outside of the program's code, which is at 0x00008000..0x00008f6d"
    )
    assert "memset" in outcome.out


def test_the_limit_and_the_place_to_stop_at_end_a_run(run, demo):
    assert run("stat", demo, "-e", "malloc", "--limit", 1000).err == (
        "0 hits of 1 probe; the limit of instructions was reached at start_c+0x24\n"
    )
    assert run("stat", demo, "-e", "malloc", "--until", "free").err == (
        "11 hits of 1 probe; the program came to free\n"
    )


def test_after_a_place_code_that_moved_is_counted_where_it_is(run, binary):
    code = binary(
        0xE3A04801,  # 8000: mov r4, #0x10000; the two words at 0x8018 are copied there, and run 3 times
        0xE28F500C,  # 8004: add r5, pc, #12
        0xE8950003,  # 8008: ldm r5, {r0, r1}
        0xE8840003,  # 800c: stm r4, {r0, r1}
        0xE3A06003,  # 8010: mov r6, #3
        0xEA001FF9,  # 8014: b 0x10000
        0xE2566001,  # 8018: subs r6, r6, #1
        0x1AFFFFFD,  # 801c: bne 0x8018
    )
    outcome = run("stat", code, "--base", "0x8000", "--after", "0x10000", "--bias", "0x7fe8", "-e", "0x10000",
                  "--limit", 60, "--json")  # fmt: skip
    assert outcome.status == 0
    report = json.loads(outcome.out)
    assert [(probe["address"], probe["hits"]) for probe in report["probes"]] == [("0x00010000", 3)]


def test_bias_alone_makes_no_sense(run, demo):
    outcome = run("stat", demo, "--bias", "0x1000", "-e", "malloc")
    assert (outcome.status, outcome.out, outcome.err) == (2, "", (
        "error[AP100]: --bias is for a program that moves itself, and that takes a while\n"
        "help: say with --after LOCATION when it has done so\n"
    ))  # fmt: skip


def test_a_place_that_the_program_never_comes_to_is_an_error(run, demo):
    outcome = run("stat", demo, "--after", "memcpy", "-e", "malloc", "--", 1)
    assert outcome.status == 2
    assert outcome.err.endswith(
        "error[AP100]: the program never came to memcpy: the program ended at 0x00008df8\n"
        "help: choose an earlier place for --after\n"
    )


def test_an_interrupt_restores_and_prints_the_table(run, demo, monkeypatch):
    real_run = UnicornTarget.run
    targets = []

    def run_interrupted(self, on_trap, *, until=None, limit=None):
        targets.append(self)
        stop = real_run(self, on_trap, until=until, limit=limit or 300_000)
        return stop if limit else replace(stop, reason=StopReason.INTERRUPT)

    monkeypatch.setattr(UnicornTarget, "run", run_interrupted)
    outcome = run("stat", demo, "-e", "crc32")
    assert outcome.status == 130
    assert re.fullmatch(r"hits .*\n +[1-9]\d* +[789]  branch  0x000088a4  crc32\n", outcome.out.lstrip())
    assert re.fullmatch(r"[1-9]\d* hits of 1 probe; interrupted at [\w+]+\n\n", outcome.err)
    assert targets[0].read_memory(0x88A4, 4) == bytes.fromhex("70402de9")  # push {r4, r5, r6, lr}


def test_ctrl_c_ends_a_real_process_with_130_and_its_table(demo):
    command = [*ARMPROBE, "trace", demo, "-e", "malloc", "-e", "free", "--", "4000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "events of 2 probes; interrupted at " in err
    assert "Traceback" not in err


def test_a_reader_that_goes_away_ends_it_quietly(demo):
    command = [*ARMPROBE, "trace", demo, "-e", "crc32", "--", "20000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "104159: crc32: (crc32+0x0/0xa8)\n"
        process.stdout.close()
        assert process.wait(timeout=60) == 141
        assert process.stderr is not None
        assert "rror" not in process.stderr.read()


def test_the_exit_code_of_the_program_is_told(run, binary):
    outcome = run("stat", binary(*EXIT), "--base", "0x8000", "-e", "0x8004")
    assert (outcome.status, outcome.err) == (0, "1 hit of 1 probe; the program ended with exit code 0\n")


def test_a_trigger_sums_up_an_event_by_a_field(run, demo):
    trigger = "m.hist:keys=size.log2:vals=hitcount,size if size > 4"
    arguments = ("stat", demo, "-e", "p:m malloc size=%r0:u32", "-e", "free", "--trigger", trigger)
    report = json.loads(run(*arguments, "--json").out)
    (histogram,) = report["histograms"]
    assert histogram["trigger"] == trigger
    assert all(row["hitcount"] << row["key"] <= row["sums"]["size"] < row["hitcount"] << row["key"] + 1
               for row in histogram["rows"])  # fmt: skip
    outcome = run(*arguments)
    assert outcome.status == 0
    assert "# trigger info: " + trigger in outcome.out
    assert f"    Hits: {sum(row['hitcount'] for row in histogram['rows'])}\n" in outcome.out


def test_a_trigger_for_an_event_that_is_not_there_is_refused(run, demo):
    outcome = run("stat", demo, "-e", "malloc", "--trigger", "m.hist:keys=size")
    assert (outcome.status, outcome.out) == (2, "")
    assert "there is no event m" in outcome.err


def test_latency_is_a_histogram_of_as_many_calls_as_the_firmware_counted(run, demo):
    outcome = run("stat", demo, "--latency", "malloc", "--latency", "crc32", "--", 1000)
    own = own_numbers(outcome.err)
    malloc, crc = outcome.out.split("\n\n")
    assert malloc.startswith(f"malloc: {own['allocations']} calls, instructions: least 24, mean ")
    assert crc.startswith(f"crc32: {int(own['crc32']):,} calls, instructions: least ")
    lines = malloc.splitlines()[1:]
    assert re.fullmatch(r" *16 \.\. 32 +\d+  #+", lines[0])
    assert sum(int(re.split(r"  +", line.strip())[1].replace(",", "")) for line in lines) == int(own["allocations"])
    assert outcome.err.endswith(" hits of 2 probes; the program ended with exit code 0\n")


def test_latencies_in_json_have_unit_and_extremes(run, demo):
    found = json.loads(run("stat", demo, "--latency", "malloc", "--json", "--", 1000).out)
    (latency,) = found["latencies"]
    assert (latency["function"], latency["unit"], latency["calls"], latency["missed"]) == (
        "malloc",
        "instructions",
        245,
        0,
    )
    assert latency["least"] <= latency["mean"] <= latency["greatest"]
    assert sum(bucket["calls"] for bucket in latency["buckets"]) == 245
    assert found["probes"] == []


def test_without_anything_to_count_it_says_how(run, demo):
    outcome = run("stat", demo)
    assert (outcome.status, outcome.err) == (
        2,
        "error[AP100]: there is nothing to count\nhelp: say what with -e LOCATION or --latency FUNCTION\n",
    )
