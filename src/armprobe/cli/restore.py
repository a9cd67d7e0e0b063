"""`armprobe restore`: undo what a session that was killed left in a target."""

from __future__ import annotations

from pathlib import Path

import click

from armprobe.cli.options import journal_option
from armprobe.cli.text import many, notice, print_json
from armprobe.errors import TargetError
from armprobe.probes.in_place import describe as describe_in_place
from armprobe.probes.recovery import Recovery
from armprobe.session import restore as restore_target


@click.command
@click.option("--gdb", metavar="HOST:PORT", required=True, help="The GDB stub of the target.")
@journal_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def restore(gdb: str, journal: Path | None, as_json: bool) -> None:
    """Undo what a session that was killed left in a target.

    armprobe notes what it changes before it changes it. Where its bytes stand the program's are put back; a place that
    holds anything else is left alone and listed. Threads are led out of armprobe's code before its memory is given
    back. Then the target runs on. It waits for a gdbserver whose program runs, as long as that does not stop; Ctrl-C
    ends this.

    \b
    armprobe restore --gdb :1234
    """
    done = restore_target(gdb, journal=journal, waits=notice)
    if as_json:
        print_json(_facts(done))
    elif done is None:
        click.echo(f"no session left anything at {gdb}")
    else:
        click.echo(describe(done))
        if done.in_place:
            notice(describe_in_place(done.in_place))
    if done is not None and not done.complete:
        number = len(done.unknown) + len(done.kept)
        raise TargetError(
            f"{many(number, 'change')} could not be undone at {gdb}; nothing else is left",
            evidence="\n".join((*done.unknown, *done.kept)),
            hint="let the program run for a while and try again; or restart the target, try again, and all is gone",
        )


def describe(done: Recovery) -> str:
    """Say what was done, in one line."""
    if done.restarted and not done.restored:
        return "the target was restarted since: nothing of the session is left in it"
    if done.ended:
        return "the program came to its end meanwhile: nothing is left of it"
    parts = [f"put {many(len(done.restored), 'word')} of code back"] if done.restored or not done.memory else []
    if done.intact:
        parts.append(f"found {many(done.intact, 'word')} as they should be")
    if done.traps:
        parts.append(f"took {many(done.traps, 'breakpoint')} away")
    if done.memory:
        parts.append(f"gave {many(done.memory, 'byte')} of memory back")
    return ", ".join(parts)


def _facts(done: Recovery | None) -> dict[str, object]:
    if done is None:
        return {"left": False}
    return {
        "left": True,
        "complete": done.complete,
        "restored": [f"0x{address:08x}" for address in done.restored],
        "intact": done.intact,
        "breakpoints": done.traps,
        "memory": done.memory,
        "restarted": done.restarted,
        "ended": done.ended,
        "in_place": list(map(str, done.in_place)),
        "unknown": done.unknown,
        "kept": done.kept,
    }
