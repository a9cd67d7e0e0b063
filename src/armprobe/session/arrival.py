"""Runs up to a place of a program whose threads can't be stopped: the one that comes there asks, and stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from armprobe.errors import Refused
from armprobe.probes.engine import Engine
from armprobe.probes.probe import Hit, Probe
from armprobe.targets.base import Stop, StopReason


def run_to(engine: Engine, address: int, run: Callable[[], Stop]) -> Stop:
    """Call `run` with a probe at `address`, of which the first hit ends it. Other probes there are hit as well.

    Raises Refused with the reason where a thread that comes there can't ask.
    """
    came = False

    def stay(_hit: Hit) -> None:
        nonlocal came
        came = True
        engine.target.stop()

    where = engine.program.describe(address)
    probe = Probe(engine, address, where, pre=stay)
    engine.register([probe])
    if engine.state_of(probe) != "branch":
        reason = engine.reason(probe) or "optimization is off, and a trap stops all of them"
        engine.unregister([probe])
        raise Refused(f"a run of several threads can't end at {where}: {reason}")
    stop = run()
    if not stop.gone:
        engine.unregister([probe])
    if came and stop.reason is StopReason.INTERRUPT and not stop.gone:
        return replace(stop, reason=StopReason.ADDRESS, pc=address)
    return stop
