"""A timer of the process that stops it: its signal, and when there is none."""

from __future__ import annotations

import struct

import pytest
from tests.targets.board_process import BoardProcess, status

from armprobe.errors import Refused, TargetError
from armprobe.targets.journal import OwnTimer, OwnTimerGone
from armprobe.targets.linuxcalls import TIMER_CREATE, TIMER_DELETE, TIMER_SETTIME
from armprobe.targets.processtimer import ProcessTimer

SCRATCH, NUMBER = 0x5000, 3
#: the signals that do nothing by default: their numbers, and GDB's
URG, WINCH = (23, 16), (28, 28)
SI_USER, SI_TIMER = 0, -2


def timer(process: BoardProcess) -> ProcessTimer:
    process.memory[SCRATCH + 64] = struct.pack("<I", NUMBER)
    return ProcessTimer(process, process)  # type: ignore[arg-type]


def bit(signal: int) -> int:
    return 1 << (signal - 1)


def test_it_is_made_once_ticks_as_often_as_wanted_and_goes():
    process = BoardProcess()
    made = timer(process)
    made.set(0.25, SCRATCH)
    assert process.calls == [(TIMER_CREATE, 1, SCRATCH, SCRATCH + 64), (TIMER_SETTIME, NUMBER, 0, SCRATCH, 0)]
    assert process.memory[SCRATCH] == struct.pack("<4I", 0, 250_000_000, 0, 250_000_000)
    made.attend(heed=True)
    assert (made.every, process.heard) == (0.25, {URG[1]})
    made.attend(heed=False)
    assert process.heard == set()
    made.set(0.25, SCRATCH)
    made.set(1.5, SCRATCH)
    assert process.memory[SCRATCH] == struct.pack("<4I", 1, 500_000_000, 1, 500_000_000)
    made.set(0, SCRATCH)
    made.delete()
    assert [call[0] for call in process.calls[2:]] == [TIMER_SETTIME, TIMER_SETTIME, TIMER_DELETE]
    made.delete()
    assert process.calls[-1] == (TIMER_DELETE, NUMBER)
    assert not process.left


def test_what_is_noted_to_tick_does():
    process = BoardProcess()
    made = timer(process)
    made.set(1, SCRATCH)
    made.set(0, SCRATCH)
    made.delete()
    ticks, stands = OwnTimer(NUMBER, ticks=True), OwnTimer(NUMBER, ticks=False)
    assert process.noted == [ticks, stands, stands, OwnTimerGone()]
    failing = BoardProcess(failing=[TIMER_SETTIME])
    with pytest.raises(Refused, match=r"^the system call fails$"):
        timer(failing).set(1, SCRATCH)
    assert failing.noted == []


@pytest.mark.parametrize(
    ("main", "other", "signal"),
    [
        (status(), status(), URG),
        (status(caught=bit(URG[0])), status(), WINCH),
        (status(blocked=bit(URG[0])), status(), URG),
        (status(blocked=bit(URG[0])), status(blocked=bit(URG[0])), WINCH),
    ],
)
def test_it_sends_what_some_thread_may_get_and_the_program_does_not_handle(main, other, signal):
    process = BoardProcess({"task/1/status": main, "task/2/status": other})
    sent: list[tuple[int, ...]] = []
    write = process.write_memory
    process.write_memory = lambda address, data: (sent.append(struct.unpack_from("<3I", data)), write(address, data))[1]
    made = timer(process)
    made.set(1, SCRATCH)
    made.attend(heed=True)
    assert sent[0] == (0, signal[0], 0)
    assert process.heard == {signal[1]}


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (None, "the stub does not read /proc"),
        (status(limited=1), "the process is allowed certain system calls only (seccomp)"),
        (status(blocked=(1 << 64) - 1), "the process handles or blocks both SIGURG and SIGWINCH"),
        (status(caught=(1 << 64) - 1), "the process handles or blocks both SIGURG and SIGWINCH"),
    ],
)
def test_none_is_made_where_it_would_do_harm_or_reach_nobody(task: str | None, reason: str):
    process = BoardProcess({f"task/{thread}/status": task for thread in (1, 2)})
    with pytest.raises(Refused) as refused:
        timer(process).set(1, SCRATCH)
    assert refused.value.message == reason
    assert process.calls == []


def test_signals_of_the_same_kind_that_somebody_else_sent_are_the_program_s():
    process = BoardProcess()
    made = timer(process)
    process.info = struct.pack("<4i", URG[0], 0, SI_TIMER, NUMBER)
    assert not made.sent(URG[1])  # there is none yet
    made.set(1, SCRATCH)
    assert made.sent(URG[1])
    assert not made.sent(5)
    for code, number in ((SI_TIMER, NUMBER + 1), (SI_USER, NUMBER)):
        process.info = struct.pack("<4i", URG[0], 0, code, number)
        assert not made.sent(URG[1])


def test_a_tick_whose_thread_is_gone_is_nobody_s():
    process = BoardProcess()
    made = timer(process)
    made.set(1, SCRATCH)
    assert made.sent(URG[1])
    assert made.ending
    process.info, process.alive = struct.pack("<4i", URG[0], 0, SI_TIMER, NUMBER), False
    assert made.sent(URG[1])
    assert made.ending
    process.alive = True
    assert made.sent(URG[1])
    assert not made.ending


class Ticks:
    """Ticks of a timer of a process where a call from outside, and a tick, take so many seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, takes: float) -> None:
        self.now, self.takes = 0.0, takes
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.process = BoardProcess()
        self.process.info = struct.pack("<4i", URG[0], 0, SI_TIMER, NUMBER)
        self._call, self.process.call = self.process.call, self._slow_call  # type: ignore[method-assign]
        self.timer = timer(self.process)

    def _slow_call(self, number: int, *arguments: int) -> int:
        self.now += self.takes
        return self._call(number, *arguments)

    def come(self, count: int) -> list[float]:
        """How far ticks are apart after each of so many more."""
        found = []
        for _ in range(count):
            self.now += max(self.timer.every, self.takes)
            assert self.timer.sent(URG[1])
            self.timer.slow_down()
            found.append(round(self.timer.every, 6))
        return found


@pytest.mark.parametrize(("wanted", "takes", "every"), [(0.05, 0.001, 0.05), (0.001, 0.001, 0.01), (0.05, 0.1, 0.4)])
def test_it_ticks_no_faster_than_a_tick_can_be_dealt_with(monkeypatch, wanted: float, takes: float, every: float):
    ticks = Ticks(monkeypatch, takes=takes)
    ticks.timer.set(wanted, SCRATCH)
    assert ticks.come(6) == [every] * 6


def test_ticks_are_further_apart_when_dealing_with_them_comes_to_take_longer(monkeypatch):
    ticks = Ticks(monkeypatch, takes=0.001)
    ticks.timer.set(0.05, SCRATCH)
    ticks.takes = 0.2
    assert ticks.come(3) == [0.05, 0.05, 0.6]
    ticks.takes = 0.5
    assert ticks.come(6) == [0.6] * 6
    ticks.timer.set(0, SCRATCH)
    ticks.timer.set(0.05, SCRATCH)
    assert ticks.timer.every == pytest.approx(0.6)


def test_a_tick_that_comes_late_after_a_stop_for_something_else_tells_nothing(monkeypatch):
    ticks = Ticks(monkeypatch, takes=0.001)
    ticks.timer.set(0.05, SCRATCH)
    for _ in range(10):
        ticks.now += 10
        ticks.timer.disturbed()
        assert ticks.come(2) == [0.05, 0.05]


def test_one_that_is_left_behind_is_taken_away():
    process = BoardProcess(failing=[TIMER_CREATE])
    made = timer(process)
    made.adopt(OwnTimer(NUMBER, ticks=True))
    process.info = struct.pack("<4i", WINCH[0], 0, SI_TIMER, NUMBER)
    assert made.every
    assert made.sent(WINCH[1])
    made.delete()
    assert process.calls == [(TIMER_DELETE, NUMBER)]
    refusing = BoardProcess(failing=[TIMER_DELETE])
    made = timer(refusing)
    made.adopt(OwnTimer(NUMBER, ticks=False))
    assert not made.every
    with pytest.raises(TargetError):
        made.delete()
