"""The generic timer as clock, and which processor is which, of a machine behind a GDB stub that shows system registers.

User mode may be kept from both (CNTKCTL.PL0VCTEN, MPIDR), which nobody knows beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from armprobe.isa.reading import CNTVCT, PROCESSOR, Reading
from armprobe.targets.remotethreads import RemoteThreads

#: by these names stubs show CNTFRQ: only where there is a generic timer
FREQUENCY_NAMES = ("CNTFRQ", "CNTFRQ_EL0")
NO_TIMER = "the stub shows no generic timer (CNTFRQ) of the processor"
NO_FREQUENCY = "the generic timer does not know its frequency: CNTFRQ is 0"
#: how QEMU numbers its processors: so many in a cluster, counted from 0; threads are counted from 1
_CLUSTER = 8


@dataclass(frozen=True, slots=True)
class GenericTimer:
    """The virtual count of a generic timer with `frequency` Hz: a `Clock`."""

    frequency: int
    privileged: bool = True
    start: int = 0
    counted: str = "generic timer"
    unit: str = "ns"
    at_site: Reading = CNTVCT
    at_return: Reading = CNTVCT

    @property
    def name(self) -> str:
        return f"{self.counted}, {self.frequency / 1e6:g} MHz"

    @property
    def ns_per_tick(self) -> Fraction:
        return Fraction(1_000_000_000, self.frequency)

    def now(self, *, returned: bool) -> None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class QemuProcessors:
    """The processors of one QEMU, by what MPIDR says: a `Processors`."""

    threads: RemoteThreads
    privileged: bool = True
    number: Reading = PROCESSOR

    def current(self) -> int:
        cluster, core = divmod(max(self.threads.ids()[0] - 1, 0), _CLUSTER)
        return cluster << 8 | core
