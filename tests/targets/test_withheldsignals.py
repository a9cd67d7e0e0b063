"""Signals that wait until all threads go on."""

from __future__ import annotations

from armprobe.targets.rsp import ThreadId
from armprobe.targets.withheldsignals import WithheldSignals

ONE, OTHER = ThreadId(1, 1), ThreadId(2, 1)
ALRM, USR1, REAL_TIME = 14, 30, 45


def test_each_thread_gets_one_signal_at_a_time_oldest_first():
    withheld = WithheldSignals()
    assert (bool(withheld), withheld.several) == (False, False)
    withheld.add(ONE, USR1)
    withheld.add(OTHER, ALRM)
    assert (bool(withheld), withheld.several) == (True, False)
    withheld.add(ONE, ALRM)
    assert withheld.several
    assert withheld.take() == {ONE: USR1, OTHER: ALRM}
    assert (bool(withheld), withheld.several) == (True, False)
    assert withheld.take() == {ONE: ALRM}
    assert not withheld


def test_a_signal_that_waits_already_comes_once_but_for_those_of_real_time():
    withheld = WithheldSignals()
    for signal in (USR1, REAL_TIME, USR1, REAL_TIME):
        withheld.add(ONE, signal)
    assert [withheld.take() for _ in range(3)] == [{ONE: USR1}, {ONE: REAL_TIME}, {ONE: REAL_TIME}]
