"""Run a program to its end, and say what the end was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import click

from armprobe.cli.disassembly import disassemble
from armprobe.cli.options import to_number
from armprobe.cli.termination import only_noted, was_asked
from armprobe.errors import ArmprobeError, TargetError, TargetFault
from armprobe.session import Session, as_process
from armprobe.session.stretches import STRETCH_SECONDS
from armprobe.targets.base import Stop, StopReason

#: what shells add to the number of the signal that ended a program
_ENDED_BY_SIGNAL = 128
#: those that come where the program is: SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
_FAULT_SIGNALS = (4, 5, 7, 8, 11)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that end a run, and the program's own arguments."""
    for parameter in reversed((
        click.argument("arguments", metavar="[-- ARGUMENT...]", nargs=-1, type=click.UNPROCESSED),
        click.option("--until", metavar="LOCATION", help="Stop when the program comes to LOCATION."),
        click.option(
            "--limit", callback=to_number, metavar="N",
            help="Stop after N instructions, armprobe's own included; five times slower.",
        ),
    )):  # fmt: skip
        command = parameter(command)
    return command


def run_live(
    session: Session,
    tick: Callable[[], object],
    *,
    until: str | None,
    limit: int | None,
    every: float | None = None,
) -> Stop:
    """Run like `session.run`, and call `tick` every so many seconds and at the end."""

    def between() -> bool:
        tick()
        # A signal that came while the target was being stopped for this.
        return was_asked()

    shared = session.target.shared_memory
    with only_noted() if limit is None and not (shared and shared.live) else nullcontext():
        return session.run(until=until, limit=limit, between=between, every=every or STRETCH_SECONDS)


def describe_stop(session: Session, stop: Stop) -> str:
    """Say in half a sentence how the run ended."""
    where = session.symbols.describe(stop.pc)
    match stop.reason:
        case StopReason.EXIT:
            code = "" if stop.exit_code is None else f" with exit code {stop.exit_code}"
            place = f" at {where}" if stop.pc and stop.signal in _FAULT_SIGNALS else ""
            return f"the program ended{code}" + (f": it {stop.message}{place}" if stop.message else "")
        case StopReason.ADDRESS:
            return f"the program came to {where}"
        case StopReason.LIMIT:
            return f"the limit of instructions was reached at {where}"
        case StopReason.INTERRUPT:
            # Nobody knows where each of several threads was that ended with their program.
            return (
                "interrupted, and the program ended with it" if stop.gone and not stop.pc else f"interrupted at {where}"
            )
        case StopReason.TRAP:
            return f"the program stopped at its own breakpoint at {where}"
        case StopReason.FAULT:
            return f"the program faulted at {where}"


def end(session: Session, stop: Stop) -> int:
    """Return the exit status that a run's end means: that of a Linux process, else 0.

    Raises what it ended with, unless that is an end like any other: KeyboardInterrupt, or TargetError.
    """
    if as_process(session) is not None and stop.reason is StopReason.EXIT:
        return _ENDED_BY_SIGNAL + stop.signal if stop.signal else stop.exit_code or 0
    if stop.reason is StopReason.INTERRUPT:
        raise KeyboardInterrupt
    evidence = _listing(session, stop.pc)
    if stop.reason is StopReason.TRAP:
        raise TargetError(describe_stop(session, stop), evidence=evidence)
    if stop.reason is StopReason.FAULT:
        address = stop.pc if stop.address is None else stop.address
        why = {
            "read": f"it cannot read 0x{address:08x}",
            "write": f"it cannot write 0x{address:08x}",
            "fetch": f"it cannot execute what is at 0x{address:08x}",
        }.get(stop.access, f"it cannot execute the instruction there ({stop.message})")
        hint = "a program that copies its own code is probed after that: --after" if stop.access == "fetch" else ""
        raise TargetFault(
            f"{describe_stop(session, stop)}: {why}", address=address, size=4, evidence=evidence, hint=hint
        )
    return 0


def _listing(session: Session, address: int) -> str:
    try:
        word = int.from_bytes(session.read_memory(address & ~3, 4), "little")
    except ArmprobeError:
        return ""
    return f"0x{address:08x}  {word:08x}  {disassemble(word, address) or ''}".rstrip()


def stop_facts(session: Session, stop: Stop) -> dict[str, Any]:
    """Return the JSON object of the end of a run."""
    return {
        "reason": stop.reason.name.lower(),
        "address": f"0x{stop.pc:08x}",
        "symbol": session.symbols.describe(stop.pc),
        "exit_code": stop.exit_code,
        "message": describe_stop(session, stop),
    }
