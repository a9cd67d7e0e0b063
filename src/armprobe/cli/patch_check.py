"""`armprobe patch-check`: may one instruction replace another while processors execute it, and how?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from armprobe.cli.disassembly import disassemble
from armprobe.cli.insn import parse_hex
from armprobe.cli.patch_text import parse
from armprobe.cli.text import many, print_json
from armprobe.errors import InternalError, UsageError
from armprobe.isa.instruction_set import InstructionSet
from armprobe.patching.classify import Classification, classify
from armprobe.verification.patchmodel.explore import Result, check
from armprobe.verification.patchmodel.pair import Setting, safe, units, unsafe
from armprobe.verification.patchmodel.procedure import procedure
from armprobe.verification.patchmodel.trace import describe

_CORES, _PASSES = 2, 2


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a pair; `unsafe` is the run that goes wrong, None where there is none."""

    isa: InstructionSet
    address: int
    old: bytes
    new: bytes
    classification: Classification
    safe: tuple[tuple[Setting, Result], ...]
    unsafe: Result | None


@click.command
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--isa", type=click.Choice(["a32", "t32"]), default="a32", show_default=True, help="Instruction set.")
@click.option(
    "--at", "at", metavar="ADDRESS", default="0x8000", show_default=True, help="Where the instruction stands."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def patch_check(old: str, new: str, isa: str, at: str, as_json: bool) -> None:
    """Tell whether NEW may replace OLD in running code, and how.

    OLD and NEW are one instruction each, in hexadecimal as a disassembler shows it (e92d4010; in T32 b510 or
    'f000 b802') or as text: 'b 0x9000', bl, nop, bkpt, udf, svc. What happens is explored in a model of caches and
    prefetching, for two processors that come by twice. Every verdict is an answer: the exit status is 0.
    """
    instruction_set = InstructionSet[isa.upper()]
    address = parse_hex(at, "an address")
    if address % (4 if instruction_set is InstructionSet.A32 else 2):
        raise UsageError(f"{instruction_set.value} code does not stand at 0x{address:08x}")
    codes = [parse(text, isa=instruction_set, address=address) for text in (old, new)]
    report = examine(*_fill(*codes), isa=instruction_set, address=address)
    if as_json:
        print_json(facts(report))
    else:
        click.echo(describe_report(report))


def _fill(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Give a 16-bit T32 instruction that takes the place of a 32-bit one the halfword that stays behind it."""
    if len(old) < len(new):
        raise UsageError(
            f"NEW has {len(new)} bytes, but OLD has {len(old)}: the halfword behind OLD counts, too",
            hint="for example 'be00 f802'",
        )
    return old, new + old[len(new) :]


def examine(old: bytes, new: bytes, *, isa: InstructionSet, address: int) -> Report:
    """Classify the pair, prove a protocol for each setting, and find a run that goes wrong without one."""
    classification = classify(old, new, isa=isa)
    if old == new:
        return Report(isa, address, old, new, classification, (), None)
    proven: list[tuple[Setting, Result]] = []
    for setting in Setting:
        cores = 1 if setting is Setting.SINGLE else _CORES
        result = check(safe(old, new, isa=isa, setting=setting), cores=cores, passes=_PASSES)
        if not result.safe:
            raise InternalError(
                f"the protocol for {setting.value} is not safe", evidence=describe(result), hint="please report this"
            )
        proven.append((setting, result))
    wrong = check(unsafe(old, new, isa=isa), cores=_CORES, passes=_PASSES)
    return Report(isa, address, old, new, classification, tuple(proven), None if wrong.safe else wrong)


def facts(report: Report) -> dict[str, Any]:
    """Return the JSON object of a pair."""
    wrong = report.unsafe
    return {
        "isa": report.isa.value.lower(),
        "address": f"0x{report.address:08x}",
        "old": _hex(report.old, report.isa),
        "new": _hex(report.new, report.isa),
        "verdict": report.classification.change.name,
        "rule": report.classification.rule,
        "protocols": [
            {
                "setting": setting.name.lower(),
                "steps": procedure(result.protocol, setting),
                "cores": result.cores,
                "passes": result.passes,
                "states": result.states,
            }
            for setting, result in report.safe
        ],
        "counterexample": None
        if wrong is None
        else {
            "protocol": wrong.protocol.name,
            "steps": [{"actor": event.actor, "text": event.text} for event in wrong.run],
            "invariant": wrong.violation.invariant if wrong.violation else "",
            "violation": wrong.violation.text if wrong.violation else "",
        },
    }


def _hex(code: bytes, isa: InstructionSet) -> str:
    size = 8 if isa is InstructionSet.A32 else 4
    return " ".join(f"{unit:0{size}x}" for unit in units(code, isa))


def _shown(code: bytes, report: Report) -> str:
    text = None
    if report.isa is InstructionSet.A32:
        text = disassemble(int.from_bytes(code, "little"), report.address)
    return _hex(code, report.isa) + (f"  {text}" if text else "")


def describe_report(report: Report) -> str:
    """Return the text of a pair, for people."""
    lines = [
        f"old  {_shown(report.old, report)}",
        f"new  {_shown(report.new, report)}",
        str(report.classification),
    ]
    for setting, result in report.safe:
        lines += ["", f"{setting.value}:"]
        lines += [f"  {number}. {step}" for number, step in enumerate(procedure(result.protocol, setting), 1)]
        lines.append(
            f"  proven for {many(result.cores, 'processor')} and {result.passes} passes each: "
            f"{many(result.states, 'state')}"
        )
    if report.unsafe is not None:
        lines += ["", f"otherwise, {report.unsafe.protocol.name}:", *describe(report.unsafe).splitlines()]
    return "\n".join(lines)
