"""The options for Linux programs, where they do not fit."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "options", [["--gdb", ":1"], ["--machine", "virt"], ["--cpu", "cortex-a9"], ["--base", "0x8000"]]
)
def test_options_that_make_no_sense_with_a_process(run, demo, options):
    outcome = run("stat", "--spawn", *options, "-e", "main", demo)
    message = (
        "error[AP100]: --spawn starts a Linux program, and takes none of --gdb, --machine, --cpu, --base, --bias and "
        "--slots\nhelp: leave them out\n"
    )
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message)


def test_a_root_is_for_linux_programs(run, demo, tmp_path):
    outcome = run("stat", "--root", tmp_path, "-e", "main", demo)
    message = "error[AP100]: --root is for a Linux program\nhelp: say --spawn, or --gdb HOST:PORT, as well\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message)


def test_a_program_in_thumb_code_is_refused_before_it_starts(run, tmp_path, demo):
    program = bytearray(demo.read_bytes())
    program[24] |= 1  # e_entry
    (tmp_path / "thumb").write_bytes(program)
    outcome = run("stat", "--spawn", "-e", "main", tmp_path / "thumb")
    message = (
        "error[AP200]: thumb starts in Thumb code: T32 is not supported yet\n"
        "help: build it with -marm; of Debian's ports, armel is A32\n"
    )
    assert (outcome.status, outcome.out, outcome.err) == (1, "", message)


def test_without_the_emulator_its_package_is_named(run, demo, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    outcome = run("stat", "--spawn", "-e", "main", demo)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.endswith("qemu-arm is not installed\nhelp: apt-get install qemu-user\n")
