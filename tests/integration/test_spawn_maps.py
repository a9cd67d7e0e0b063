"""Keys that four threads of a program add and remove at once, under QEMU's user-mode emulator."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from tests.integration.linux_programs import threads_calls, threads_program

import armprobe
from armprobe.codegen.map_layout import FREE, MEMBER, TAKE
from armprobe.probes.map_cells import Cells
from armprobe.targets.useremulator import EMULATOR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(EMULATOR) and shutil.which("arm-none-eabi-gcc")), reason="needs qemu-arm and a compiler"
    ),
]

ROUNDS, KEYS = 100_000, 6


def test_threads_that_add_and_remove_the_same_keys_at_once_keep_exact_books(tmp_path: Path):
    with armprobe.spawn([threads_program(tmp_path, rounds=ROUNDS)]) as session:
        sums, marks = (session.table(name, 8, removable=True) for name in ("sums", "marks"))
        added, taken = (session.histogram(name, log2=False, buckets=KEYS) for name in ("added", "taken"))
        seen, foreign, marked = (session.counter(name) for name in ("seen", "foreign", "marked"))

        @session.probe("work", compiled=True)
        def measure(r0, r1):
            # What is done, and the key, are as good as random, and another thread's are others.
            key = (r1 >> 20) % KEYS
            what = r1 >> 12 & 7
            if what < 3:
                sums[key] += r0 + 1
                added[key] += r0 + 1
            elif what == 3:
                taken[key] += sums.pop(key)
            elif what < 6:
                marks[key] = (key << 8) + what
                marked.add()
            else:
                mark = marks[key] if what == 6 else marks.pop(key)
                if mark:
                    seen.add()
                    if mark != (key << 8) + 4 and mark != (key << 8) + 5:
                        foreign.add()

        stop = session.run()
        assert (stop.exit_code, measure.hits, measure.faults) == (7, threads_calls(ROUNDS), 0)
        left = sums.values()
        assert {key: added[key] for key in range(KEYS)} == {key: taken[key] + left.get(key, 0) for key in range(KEYS)}
        assert (foreign.total, sums.overflow, marks.overflow) == (0, 0, 0)
        assert 0 < seen.total < marked.total * 4
        for table in (sums, marks):
            cells = Cells(table.shape, table._data())
            assert {cells.state(cell) % TAKE for cell in range(table.shape.cells)} <= {FREE, MEMBER}
            assert len([*cells.taken()]) == len(table.values()), "a cell is kept for nothing"


def test_what_is_taken_while_threads_run_is_all_that_they_add(tmp_path: Path):
    with armprobe.spawn([threads_program(tmp_path, rounds=ROUNDS)]) as session:
        calls, numbers = session.counter("calls"), session.histogram("numbers")

        @session.probe("work", compiled=True)
        def measure(r0):
            calls.add()
            numbers.observe(r0)

        taken = []

        def look() -> None:
            taken.append((calls.take(), numbers.take()))

        session.run(between=look, every=0.01)
        look()
        assert sum(part.total for part, _ in taken) == calls.total == threads_calls(ROUNDS)
        assert sum((Counter(part.values()) for _, part in taken), Counter()) == numbers.values()
        assert sum(part.total > 0 for part, _ in taken) > 1
