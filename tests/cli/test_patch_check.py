"""`armprobe patch-check`, as a person and as a program sees it."""

from __future__ import annotations

import json

import pytest

SYNCHRONISE = (
    "DCCMVAU: clean the data cache to the point of unification",
    "DSB: wait for that",
    "ICIMVAU, BPIMVA: invalidate instruction cache and branch predictor",
    "DSB: wait for that",
)


@pytest.fixture
def facts(run):
    def check(*arguments: str) -> dict:
        outcome = run("patch-check", *arguments, "--json")
        assert (outcome.status, outcome.err) == (0, "")
        return json.loads(outcome.out)

    return check


def test_a_stop_is_explained_with_protocols_and_a_run_that_goes_wrong(run):
    outcome = run("patch-check", "e92d4010", "udf #0x18")
    assert (outcome.status, outcome.err) == (0, "")
    assert (
        outcome.out
        == """\
old  e92d4010  push {r4, lr}
new  e7f001f8  udf #0x18
STOP: the old word 0xe92d4010 is not B, BL, NOP, BKPT, SVC, HVC or SMC (DDI 0406C A3.5.4)

all-stop debugger:
  1. enter the site into the trap handler's table; the handler decides by PC, never by reading the word
  2. stop every thread, and wait until all have stopped
  3. STR 0xe7f001f8 to the site, one aligned word
  4. DCCMVAU: clean the data cache to the point of unification
  5. DSB: wait for that
  6. ICIMVAU, BPIMVA: invalidate instruction cache and branch predictor
  7. DSB: wait for that
  8. resume: the return from the exception, or from Debug state, synchronises each thread's context
  proven for 2 processors and 2 passes each: 332 states

running, several processors:
  1. enter the site into the trap handler's table; the handler decides by PC, never by reading the word
  2. stop every other processor, interrupts off; the last to arrive goes on with the next step
  3. STR 0xe7f001f8 to the site, one aligned word
  4. DCCMVAU: clean the data cache to the point of unification
  5. DSB: wait for that
  6. ICIMVAU, BPIMVA: invalidate instruction cache and branch predictor
  7. DSB: wait for that
  8. release the others; each executes ISB before anything else, and so does this processor
  proven for 2 processors and 2 passes each: 332 states

one processor:
  1. enter the site into the trap handler's table; the handler decides by PC, never by reading the word
  2. mask interrupts
  3. STR 0xe7f001f8 to the site, one aligned word
  4. DCCMVAU: clean the data cache to the point of unification
  5. DSB: wait for that
  6. ICIMVAU, BPIMVA: invalidate instruction cache and branch predictor
  7. DSB: wait for that
  8. ISB; unmask interrupts
  proven for 1 processor and 2 passes each: 83 states

otherwise, replaced live, with all maintenance and a CSE everywhere:
     patcher                             core 0                              core 1
  1                                      comes to the site
  2  arm the table
  3  the site := e7f001f8 (trap)
I1: core 0 is at e92d4010 while e7f001f8 is stored over it: the old word 0xe92d4010 is not B, BL, NOP, BKPT, SVC, \
HVC or SMC (DDI 0406C A3.5.4)
"""
    )


def test_a_live_change_is_done_without_a_stop_and_relied_on_after_a_synchronisation_everywhere(facts):
    found = facts("bkpt", "b 0x9000")
    assert (found["isa"], found["address"], found["old"], found["new"]) == ("a32", "0x00008000", "e1200070", "ea0003fe")
    assert (found["verdict"], found["rule"]) == ("LIVE", "BKPT and B are both listed (DDI 0406C A3.5.4)")
    assert [protocol["setting"] for protocol in found["protocols"]] == ["debugger", "running", "single"]
    assert found["protocols"][1]["steps"] == [
        "STR 0xea0003fe to the site, one aligned word",
        *SYNCHRONISE,
        "have every processor execute ISB: an interrupt to each, or membarrier(SYNC_CORE) and an ISB here",
        "wait until every one has; from here on the new instruction is executed, and nothing else",
        "wait until no processor is between the old trap and its handler",
        "take the site out of the table",
    ]
    assert [protocol["cores"] for protocol in found["protocols"]] == [2, 2, 1]
    assert all(protocol["passes"] == 2 and protocol["states"] > 50 for protocol in found["protocols"])
    wrong = found["counterexample"]
    assert wrong["protocol"] == "replaced live, relied on before every processor had a CSE"
    assert (wrong["invariant"], wrong["violation"]) == ("I3", "hits, though no pass was promised to hit")
    assert wrong["steps"][0]["actor"] == "patcher"


def test_one_halfword_is_written_where_one_is_enough(facts):
    found = facts("b.w 0x9000", "b.w 0x8ff0", "--isa", "t32")
    assert (found["verdict"], found["old"], found["new"]) == ("LIVE_HW2", "f000 bffe", "f000 bff6")
    assert found["protocols"][1]["steps"][0] == "STRH 0xbff6 to the second halfword"


def test_the_halfword_behind_a_short_instruction_stays(facts):
    found = facts("bl 0x9000", "bkpt", "--isa", "t32")
    assert (found["verdict"], found["new"]) == ("LIVE_HW1", "be00 fffe")
    assert found["protocols"][0]["steps"][0].startswith("enter the site into the trap handler's table")


def test_two_listed_halves_may_form_what_nobody_wrote(facts):
    found = facts("bl 0x9000", "bl 0x9040", "--isa", "t32")
    assert found["verdict"] == "STOP"
    assert found["counterexample"]["violation"] == "executes f001 fffe, which nobody wrote"


def test_a_condition_and_a_target_that_change_together_mix(facts):
    found = facts("bne 0x9000", "b 0x9040", "--at", "0x8000")
    assert found["verdict"] == "STOP"
    assert found["counterexample"]["violation"].endswith(", which nobody wrote")


def test_what_does_not_change_needs_nothing(facts, run):
    found = facts("nop", "e320f000")
    assert (found["verdict"], found["rule"], found["protocols"], found["counterexample"]) == (
        "LIVE", "no byte changes", [], None,
    )  # fmt: skip
    assert run("patch-check", "nop", "nop").out == "old  e320f000  nop\nnew  e320f000  nop\nLIVE: no byte changes\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bkpt", "bl 0x9000", "--isa", "t32"],
         ("error[AP100]: NEW has 4 bytes, but OLD has 2: the halfword behind OLD counts, too\n"
          "help: for example 'be00 f802'\n")),
        (["nop", "nop", "--at", "0x8002"], "error[AP100]: A32 code does not stand at 0x00008002\n"),
        (["nop", "nop", "--at", "0x8001", "--isa", "t32"], "error[AP100]: T32 code does not stand at 0x00008001\n"),
        (["f000", "be00", "--isa", "t32"],
         "error[AP100]: a 32-bit T32 instruction begins in the last halfword, 0xf000\n"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_usage_error(run, arguments, message):
    outcome = run("patch-check", *arguments)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message)


def test_without_capstone_there_is_hexadecimal_alone(run, monkeypatch):
    monkeypatch.setattr("armprobe.cli.patch_check.disassemble", lambda word, address: None)
    assert run("patch-check", "nop", "nop").out == "old  e320f000\nnew  e320f000\nLIVE: no byte changes\n"
