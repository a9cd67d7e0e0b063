"""`armprobe demo` finds what it promises, and would say so if it did not."""

from __future__ import annotations

import re

import pytest

from armprobe.cli import demo as module


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, "PACKETS", 2000)


def test_counts_are_the_firmware_s_own_and_nothing_is_left(run):
    outcome = run("demo")
    assert (outcome.status, outcome.err) == (0, "")
    assert "  33 traps became branches under one stop" in outcome.out
    assert "    parse_packet         2,256 counted      2,256 printed as parse_packet  equal\n" in outcome.out
    assert outcome.out.count(" equal\n") == len(module.GROUND_TRUTH)
    assert "2,256 events recorded, 0 lost; the longest packet has 86 bytes.\n" in outcome.out
    assert outcome.out.count("    malloc(") == 3
    assert re.search(
        r"  3,949 bytes of code compared with what was loaded: none differ\.\n"
        r"  2,\d{3},\d{3} bytes of memory, and all output, compared with the unprobed run: all equal\.\n$",
        outcome.out,
    )
    assert max(map(len, outcome.out.splitlines())) <= 100


def test_a_difference_is_an_error(run, monkeypatch):
    monkeypatch.setitem(module.GROUND_TRUTH, "bytes", "malloc")
    outcome = run("demo")
    assert outcome.status == 1
    assert "printed as bytes         DIFFERENT\n" in outcome.out
    assert outcome.err == (
        "error[AP900]: the demo found a difference: a probe is not equivalent to what it displaced\n"
    )
