"""`armprobe stat` on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from armprobe import emulate
from armprobe.cli.live import LiveCounts


@pytest.mark.slow
def test_counts_and_rates_are_shown_while_the_program_runs_and_the_table_at_the_end(demo):
    master, terminal = pty.openpty()
    armprobe = Path(sys.executable).with_name("armprobe")
    command = [armprobe, "stat", demo, "-e", "malloc", "-e", "parse_packet", "--", "400000"]
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.DEVNULL) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            shown += piece
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert process.returncode == 0
    assert text.index("hits/s") < text.index("Ctrl-C ends") < text.index("added")
    final = text[text.index("added") :]
    assert re.search(r"parse_packet", final)


def test_what_the_program_prints_while_counts_are_shown_goes_to_standard_error(demo, capfd):
    live = LiveCounts()
    with emulate(demo, output=live.print_output) as session:
        probe = session.count("malloc")
        with live:
            session.run()
            live.update([probe], last=True)
    assert f"allocations {probe.hits}" in capfd.readouterr().err
