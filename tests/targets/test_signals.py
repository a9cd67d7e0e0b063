"""Numbers and names of signals."""

from __future__ import annotations

import signal

import pytest

from armprobe.targets.signals import linux_signal, signal_name


@pytest.mark.parametrize(
    ("gdb", "linux"),
    [
        (1, (1, "SIGHUP")), (11, (11, "SIGSEGV")), (10, (7, "SIGBUS")), (20, (17, "SIGCHLD")), (30, (10, "SIGUSR1")),
        (77, (32, "SIGRTMIN")), (45, (33, "SIGRTMIN+1")), (75, (63, "SIGRTMIN+31")), (78, (64, "SIGRTMIN+32")),
        (143, (0, "signal 143 of GDB")),
    ],
)  # fmt: skip
def test_gdbs_numbers_are_translated(gdb, linux):
    assert linux_signal(gdb) == linux


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 11, 14, 15, 17, 19, 28, 31])
def test_names_are_those_of_this_computer(number: int):
    assert signal_name(number) == signal.Signals(number).name  # x86 and ARM number them alike
