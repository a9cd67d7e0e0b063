"""A session that is killed, or interrupted, at any operation of its target leaves nothing that can't be undone."""

from __future__ import annotations

import threading

import pytest
from tests.probes.interrupted import Interrupted, contents, live, start

from armprobe.probes.recovery import recover
from armprobe.probes.recovery_runs import RecoveryRuns
from armprobe.targets.base import Stop, StopReason, TrapHandler
from armprobe.targets.journal import Left


class Killed(BaseException):
    """Nothing of the session happens after it."""


def operations() -> int:
    target = Interrupted()
    live(start(target))
    return target.operations


def kill_at(operation: int) -> Interrupted:
    target = Interrupted()

    def at_operation(number: int) -> None:
        if number >= operation:
            raise Killed

    target.at_operation = at_operation
    with pytest.raises(Killed):
        live(start(target))
    target.at_operation = lambda _: None
    return target


@pytest.mark.slow
def test_a_session_that_is_killed_at_any_operation_is_undone_by_its_journal():
    before = contents(Interrupted())
    number = operations()
    assert number > 150
    for operation in range(1, number + 1):
        target = kill_at(operation)
        done = recover(target, Left.of(target.journal.changes))
        reproduce = f"recover(target := kill_at({operation}), Left.of(target.journal.changes))"
        assert done.complete, (reproduce, done)
        assert contents(target) == before, reproduce
        assert not Left.of(target.journal.changes), reproduce


@pytest.mark.slow
def test_an_interrupt_at_any_operation_leaves_every_byte_restored():
    before = contents(Interrupted())
    number = operations()
    for operation in range(1, number + 1):
        target = Interrupted()
        session = start(target)

        def at_operation(number: int, operation: int = operation) -> None:
            if number == operation:
                raise KeyboardInterrupt

        target.at_operation = at_operation
        try:
            live(session)
        except KeyboardInterrupt:
            session.close()
        assert contents(target) == before, f"interrupted at operation {operation} of {number}"
        assert not Left.of(target.journal.changes), f"interrupted at operation {operation} of {number}"


def test_a_stop_that_comes_before_the_run_has_begun_comes_again():
    class Late(Interrupted):
        asked = threading.Event()

        def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
            assert self.asked.wait(10)
            return super().run(on_trap, until=until, limit=limit)

        def stop(self) -> None:
            super().stop()
            self.asked.set()

    assert RecoveryRuns(Late()).run(0.001) is StopReason.INTERRUPT
