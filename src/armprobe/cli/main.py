"""The command `armprobe`: its sub-commands, and how an error ends it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

import armprobe
from armprobe.cli.termination import ends_as_interrupt
from armprobe.errors import ArmprobeError, InternalError, UsageError

#: command -> (module that defines it under its own name, or MODULE:NAME; one line for `armprobe --help`)
COMMANDS = {
    "demo": ("armprobe.cli.demo", "Show probes at work on the sample firmware."),
    "explain": ("armprobe.cli.explain", "Explain how an instruction is probed, or why it cannot be."),
    "insn": ("armprobe.cli.insn", "Show what instruction words are, and how each would run at another address."),
    "kernel-demo": ("armprobe.cli.kernel_demo", "Show probes on a live Linux kernel, in a guest of its own."),
    "list": ("armprobe.cli.listing:list_", "List functions, and how each would be probed."),
    "record": ("armprobe.cli.record", "Record events to a file: Parquet, Arrow, CSV, NDJSON or Perfetto."),
    "report": ("armprobe.cli.report", "Summarize a file of recorded events: counts, quantiles, histograms."),
    "patch-check": ("armprobe.cli.patch_check", "Tell whether NEW may replace OLD in running code, and how."),
    "restore": ("armprobe.cli.restore", "Undo what a session that was killed left in a target."),
    "stat": ("armprobe.cli.stat", "Count how often instructions are executed, at full speed."),
    "trace": ("armprobe.cli.trace", "Record events, in the language of the kernel's kprobe_events."),
    "verify": ("armprobe.cli.verify", "Prove the instruction tables and the relocation on millions of cases."),
}

INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended
BROKEN_PIPE = 141  # and for one that SIGPIPE ended


class CommandGroup(click.Group):
    """Imports a sub-command when it is run, so that `armprobe --help` pays for none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name or cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would end it with 1
            return _give_up_output()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(armprobe.__version__, message="armprobe %(version)s")
def armprobe_command() -> None:
    """Dynamic probes for 32-bit ARM code.

    Exit status: 0 done; 1 refused, or trouble with the target; 2 the command line makes no sense; 130 interrupted (143
    by SIGTERM, 129 by SIGHUP), with the target restored; 141 nobody reads the output any more.
    ARMPROBE_DEBUG=1 shows the traceback of an error.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: the process's own) and return its exit status."""
    with ends_as_interrupt() as came:
        status = _main(sys.argv[1:] if arguments is None else arguments)
    return 128 + came[0] if came and status == INTERRUPTED else status


def _main(arguments: Sequence[str]) -> int:
    try:
        status = armprobe_command.main(list(arguments) or ["--help"], prog_name="armprobe", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what fails here can still be told
        return status if isinstance(status, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return _give_up_output()
    except Exception as raised:
        if os.environ.get("ARMPROBE_DEBUG") == "1":
            raise
        error = _as_own(raised)
        options = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
        click.echo(render_json(error) if "--json" in options else render(error), err=True)
        return 2 if isinstance(error, UsageError) else 1


def _give_up_output() -> int:
    """Let what is still buffered go nowhere, as nobody reads it, and return the exit status for that."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())  # or Python complains when it flushes at exit
    os.close(nowhere)
    return BROKEN_PIPE


def _as_own(raised: Exception) -> ArmprobeError:
    """The error to show: ours as it is, click's and the system's as a UsageError, the rest as an InternalError."""
    if isinstance(raised, ArmprobeError):
        return raised
    if isinstance(raised, click.ClickException):
        context = raised.ctx if isinstance(raised, click.UsageError) else None
        path = context.command_path if context else "armprobe"
        return UsageError(raised.format_message().rstrip("."), hint=f"`{path} --help` shows what it takes")
    if isinstance(raised, OSError) and raised.strerror:
        return UsageError(f"{raised.filename or 'input or output'}: {raised.strerror}")
    return InternalError(
        f"unexpected {type(raised).__name__}: {raised}",
        hint="this is a bug in armprobe; please report it with what ARMPROBE_DEBUG=1 shows",
    )


def render(error: ArmprobeError) -> str:
    """Return an error as text for people: code and message, evidence, next step."""
    lines = [click.style(f"error[{error.code}]", fg="red", bold=True) + f": {error.message}"]
    lines += [f"  {line}" for line in error.evidence.splitlines()]
    if error.hint:
        lines.append(click.style("help", fg="cyan", bold=True) + f": {error.hint}")
    return "\n".join(lines)


def render_json(error: ArmprobeError) -> str:
    """Return an error as one line of JSON for programs."""
    facts = {"code": error.code, "message": error.message, "evidence": error.evidence, "hint": error.hint}
    return json.dumps({"error": facts})
