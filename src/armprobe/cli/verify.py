"""`armprobe verify`: the long differential sweeps."""

from __future__ import annotations

import os
import sys

import click

from armprobe.cli.text import notice


@click.command
@click.option("--cases", default=11_500_000, show_default=True, help="Relocations of A32; one in eight is refused.")
@click.option("--t32-cases", default=3_000_000, show_default=True, help="Relocations of T32 and its IT blocks.")
@click.option("--rounds", default=5, show_default=True, help="Rounds of two million words against other decoders.")
@click.option("--seed", default=1, show_default=True, help="Starts the sequence of cases.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes.")
def verify(cases: int, t32_cases: int, rounds: int, seed: int, jobs: int) -> int:
    """Prove the instruction tables and the relocation on millions of cases.

    The tables are compared with GNU objdump, LLVM and Capstone, and with what instructions do when they are executed.
    Every row is relocated under every condition and with every kind of register, and executed unprobed and probed.
    Exit status 1 means that something differed; each difference is printed with the command that shows it again.
    """
    from armprobe.isa.decoder import table
    from armprobe.verification import crosscheck, decoders, sweep, usage

    missing = decoders.missing()
    if missing:
        notice(f"tables against other decoders: left out, {', '.join(missing)} not installed")
    elif rounds:
        click.echo("tables against other decoders")
        if crosscheck.main(rounds, seed=seed):
            return 1
    click.echo("usage of registers, flags and memory against execution")
    report = usage.check_usage(usage.valid_words(table(), 20, seed=seed), seed=seed)
    for finding in report.unexplained:
        click.echo(finding)
    click.echo(
        f"{sum(report.executed.values())} words of {len(report.executed)} rows, {len(report.unexplained)} findings"
    )
    status = int(bool(report.unexplained))
    for isa, count in (("a32", cases), ("t32", t32_cases)):
        click.echo(f"relocation of {isa.upper()}, unprobed against probed")
        sys.stdout.flush()
        status |= sweep.main(["--isa", isa, "--seed", str(seed), "--cases", str(count), "--jobs", str(jobs)])
    return status
