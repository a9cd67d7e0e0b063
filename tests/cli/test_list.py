"""`armprobe list`: what could be probed, and how."""

from __future__ import annotations

import json
import subprocess

import pytest

from armprobe.cli import text


def test_functions_of_a_pattern(run, demo):
    outcome = run("list", demo, "p[ar]*")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == (
        "address     size  kind    location\n"
        "0x00008514   388  branch  parse_packet\n"
        "0x00008c54    20  branch  print\n"
        "0x00008c68   108  branch  print_number\n"
        "0x00008cd4   100  branch  print_hex\n"
    )


def test_every_instruction_of_a_function(run, demo):
    outcome = run("list", demo, "print", "--instructions")
    assert outcome.out == (
        "address     kind    location    instruction\n"
        "0x00008c54  branch  print       mov r1, r0\n"
        "0x00008c58  branch  print+0x4   str lr, [sp, #-4]!\n"
        "0x00008c5c  branch  print+0x8   mov r0, #4\n"
        "0x00008c60  branch  print+0xc   svc #0x123456\n"
        "0x00008c64  branch  print+0x10  pop {pc}\n"
    )


def test_what_cannot_be_probed_has_its_reason(run, demo):
    listed = json.loads(run("list", demo, "--json").out)
    assert len(listed) == 37
    assert {entry["kind"] for entry in listed} == {"branch", "refused"}
    assert listed[-1] == {
        "address": "0x00015770",
        "location": "stack_top",
        "size": 0,
        "kind": "refused",
        "reason": "stack_top (0x00015770) is outside of the program's code, which is at 0x00008000..0x00008f6d",
        "text": None,
    }


def test_a_pattern_without_a_match_asks_what_was_meant(run, demo):
    outcome = run("list", demo, "parse_paket")
    assert (outcome.status, outcome.out, outcome.err) == (2, "", (
        "error[AP100]: no function matches 'parse_paket'\n"
        "help: did you mean parse_packet or make_packet?\n"
    ))  # fmt: skip


def test_a_program_without_symbols_has_no_functions(run, binary):
    outcome = run("list", binary(0xE1A00000), "--base", "0x8000")
    assert (outcome.status, outcome.err) == (2, (
        "error[AP100]: no function matches '*'\n"
        "help: the program has no symbols: `armprobe explain` takes addresses\n"
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("terminal", "shown"), [(True, "\r1 of 3 places\r2 of 3 places\r3 of 3 places\r"), (False, "")]
)
def test_progress_is_for_terminals_and_the_patient(capsys, monkeypatch, terminal, shown):
    monkeypatch.setattr(text.sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(text, "_PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(text, "_REFRESH_SECONDS", -1.0)
    assert list(text.progress(["a", "b", "c"], "places")) == ["a", "b", "c"]
    assert capsys.readouterr().err.rstrip(" \r") == shown.rstrip(" \r")


def test_on_a_terminal_rich_draws_the_table(capsys, monkeypatch):
    monkeypatch.setattr(text.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    text.print_table([">hits", "location"], [("12", "ns::f[int]"), ("3", "g")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip(" ─\x1b[0m")]
    assert [line.split() for line in lines[-2:]] == [["12", "ns::f[int]"], ["3", "g"]]


def test_the_names_at_functions_are_listed_with_their_types(run, demo):
    outcome = run("list", demo, "--args", "m*c*")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "address     source          function",
        "0x00008038  start.c:20      void *memcpy(void *to, void *from, size_t length)",
        "0x00008754  generator.c:9   size_t make_packet(uint8_t *buffer)",
        "0x0000898c  allocator.c:33  void *malloc(size_t size)",
    ]
    (row,) = json.loads(run("list", demo, "--args", "parse_packet", "--json").out)
    assert row["function"] == "int parse_packet(uint8_t *buffer, size_t length)"
    assert row["names"][1] == {
        "name": "length", "type": "size_t", "declaration": "size_t length", "argument": True, "place": "r1",
        "reason": "",
    }  # fmt: skip
    assert row["names"][2]["place"] is None
    assert row["names"][2]["reason"] == "optimized out here"


def test_the_names_that_have_values_are_listed_for_each_instruction(run, demo):
    outcome = run("list", demo, "--args", "--instructions", "fail")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert lines[0] == ["address", "source", "location", "names"]
    assert lines[1] == ["0x000083e0", "packet.c:83", "fail", "error"]
    assert len(lines) == 7


def test_a_program_without_debug_information_has_no_names(run, demo, tmp_path):
    stripped = tmp_path / "stripped.elf"
    subprocess.run(["arm-none-eabi-strip", "--strip-debug", "-o", stripped, demo], check=True)
    outcome = run("list", stripped, "--args", "malloc")
    assert (outcome.status, outcome.out, outcome.err) == (2, "", (
        "error[AP100]: there is no debug information about these functions\nhelp: build the program with -g\n"
    ))  # fmt: skip
