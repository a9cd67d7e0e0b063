"""Clock and processors of machines in QEMU, as their stub shows them."""

from __future__ import annotations

import pytest
from tests.targets.contract import BASE, SELF
from tests.targets.qemu_board import board, raw

from armprobe.isa.reading import CNTVCT, PROCESSOR
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.systemregisters import NO_TIMER

pytestmark = pytest.mark.slow


def test_a_generic_timer_is_the_clock_of_a_machine_that_has_one(tmp_path):
    with board(*raw([SELF], tmp_path / "code.bin", base=BASE), "-cpu", "cortex-a15", machine="virt") as running:
        target = GdbRemoteTarget.connect(running.address)
        clock = target.clock
        assert clock is not None
        assert (clock.name, clock.unit, clock.ns_per_tick) == ("generic timer, 62.5 MHz", "ns", 16)
        assert clock.at_site == clock.at_return == CNTVCT
        # Code in user mode may find CNTVCT closed (CNTKCTL.PL0VCTEN is 0 after reset).
        assert clock.privileged
        assert target.processors is None
        target.detach()


def test_a_machine_without_generic_timer_has_no_clock_and_says_why(tmp_path):
    with board(*raw([SELF], tmp_path / "code.bin", base=BASE)) as running:
        target = GdbRemoteTarget.connect(running.address)
        assert target.clock is None
        assert target.no_clock == NO_TIMER
        target.detach()


def test_processors_are_numbered_as_they_number_themselves():
    with board("-smp", "4", machine="realview-pbx-a9") as running:
        target = GdbRemoteTarget.connect(running.address)
        processors = target.processors
        assert processors is not None
        assert (processors.number, processors.privileged) == (PROCESSOR, True)
        found = []
        for thread in target.threads.ids():
            target.threads.select(thread)
            found.append(processors.current())
        assert found == [0, 1, 2, 3]
        target.detach()
