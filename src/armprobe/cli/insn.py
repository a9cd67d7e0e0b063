"""`armprobe insn`: bare instruction words, decoded and relocated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from armprobe.cli.disassembly import disassemble
from armprobe.errors import Refused, UsageError
from armprobe.isa import itstate
from armprobe.isa.decoder import decode, find_row
from armprobe.isa.insn import ALWAYS, CONDITIONS, REGISTER_NAMES, Insn
from armprobe.isa.instruction_set import InstructionSet, is_wide, join, show
from armprobe.isa.relocate import relocate
from armprobe.isa.rows import Row
from armprobe.isa.steps import CompareJump, Constant, InBlock, Jump, Relocation, Step, Word
from armprobe.isa.usage import FLAG_BITS

_HEX = re.compile(r"(0[xX])?[0-9a-fA-F]{1,8}")


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one word: `insn` is None when it is no valid instruction, `relocation` when it is refused."""

    word: int
    address: int
    instruction_set: InstructionSet
    it: int
    row: Row | None
    insn: Insn | None
    relocation: Relocation | None
    reason: str


@click.command
@click.argument("words", metavar="WORD...", nargs=-1, required=True)
@click.option("--isa", type=click.Choice(["a32", "t32"]), default="a32", show_default=True, help="Instruction set.")
@click.option("--at", "at", metavar="ADDRESS", default="0x8000", show_default=True, help="Where each word stands.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with one object a word.")
def insn(words: tuple[str, ...], isa: str, at: str, as_json: bool) -> None:
    """Show what instruction words are, and how each would run at another address.

    WORD is an instruction in hexadecimal, as a disassembler shows it: e59f1010 or 0xe59f1010; in T32 4770, f000f800,
    or f000 f800. There, IT puts the instructions that follow into its block. A word that armprobe refuses is an answer
    like any other: the exit status is 0.
    """
    instruction_set, address = InstructionSet[isa.upper()], parse_hex(at, "an address")
    unit = 4 if instruction_set is InstructionSet.A32 else 2
    if address % unit:
        raise UsageError(f"{isa.upper()} code stands at multiples of {unit}, and 0x{address:08x} is none")
    reports, it = [], 0
    for word in _words(words, instruction_set):
        reports.append(examine(word, address, instruction_set, it=it))
        it = _next_it(reports[-1])
    if as_json:
        click.echo(json.dumps([facts(report) for report in reports], indent=1))
    else:
        click.echo("\n\n".join(describe(report) for report in reports))


def parse_hex(text: str, wanted: str) -> int:
    """Read at most 8 hexadecimal digits; `wanted` says in the error what they stand for."""
    if not _HEX.fullmatch(text):
        raise UsageError(f"wanted {wanted} of at most 8 hexadecimal digits, got {text!r}", hint="for example e59f1010")
    return int(text, 16)


def _words(texts: Sequence[str], instruction_set: InstructionSet) -> Iterator[int]:
    """The instructions; of T32, one of 32 bits may stand in one text or in two."""
    if instruction_set is InstructionSet.A32:
        yield from (parse_hex(text, "an instruction word") for text in texts)
        return
    numbers = [(text, parse_hex(text, "an instruction word")) for word in texts for text in word.split() or [word]]
    waiting = iter(numbers)
    for text, number in waiting:
        if number >= 0x10000:
            if not is_wide(number >> 16):
                raise UsageError(
                    f"{text!r} is no T32 instruction of 32 bits: its first halfword is one of 16",
                    hint="separate the two",
                )
            yield number
        elif is_wide(number):
            _, second = next(waiting, ("", 0x10000))
            if second >= 0x10000:
                raise UsageError(
                    f"{text!r} is the first half of a T32 instruction, and no second half follows",
                    hint="for example f000 f800",
                )
            yield join(number, second)
        else:
            yield number


def _next_it(report: Report) -> int:
    """The ITSTATE after an instruction that does not branch."""
    if report.insn is not None and "it_state" in report.insn.row.effects:
        return itstate.start(report.insn.fields["firstcond"], report.insn.fields["mask"])
    return itstate.advance(report.it)


def examine(word: int, address: int, instruction_set: InstructionSet = InstructionSet.A32, *, it: int = 0) -> Report:
    """Decode `word`, executed with the ITSTATE `it`, and plan its relocation away from `address`."""
    row = find_row(word, instruction_set)
    report = Report(word, address, instruction_set, it, row, None, None, "")
    try:
        report = replace(report, insn=decode(word, instruction_set, it=it))
        assert report.insn is not None
        return replace(report, relocation=relocate(report.insn, address))
    except Refused as error:
        return replace(report, reason=error.message)


def facts(report: Report) -> dict[str, Any]:
    """Return the JSON object of one word; its lists are empty where the word is no valid instruction."""
    usage = report.insn.usage if report.insn else None
    return {
        "word": show(report.word, report.instruction_set),
        "row": report.row.name if report.row else None,
        "text": _text(report),
        "condition": CONDITIONS[report.insn.cond] if report.insn else "",
        "relocation": _kind(report),
        "reason": report.reason,
        "reads": _registers(usage.reads, usage.vector_reads) if usage else [],
        "writes": _registers(usage.writes, usage.vector_writes) if usage else [],
        "flags_read": _flags(usage.flags_read) if usage else [],
        "flags_written": _flags(usage.flags_written) if usage else [],
        "memory": [name for name, used in (("load", usage.loads), ("store", usage.stores)) if used] if usage else [],
        "stack_bytes": usage.stack if usage else None,
        "effects": sorted(report.row.effects) if report.row else [],
    }


def describe(report: Report) -> str:
    """Return the text of one word, for people."""
    name = report.row.name if report.row else f"no {report.instruction_set.value} instruction"
    lines = [f"{show(report.word, report.instruction_set)[2:]}  {_text(report) or name}"]
    if report.row:
        lines.append(f"  row         {name}" + _reference(report.row))
    if report.insn:
        usage = report.insn.usage
        if itstate.in_block(report.it):
            lines.append(f"  condition   {CONDITIONS[report.insn.cond] or 'always'}, by an IT block")
        stack = "unknown" if usage.stack is None else f"{usage.stack} bytes" if usage.stack else "nothing"
        memory = " and ".join([name for name, used in (("loads", usage.loads), ("stores", usage.stores)) if used])
        lines += [
            f"  reads       {_list(_registers(usage.reads, usage.vector_reads))}",
            f"  writes      {_list(_registers(usage.writes, usage.vector_writes))}",
            f"  flags       reads {_list(_flags(usage.flags_read))}; writes {_list(_flags(usage.flags_written))}",
            f"  memory      {memory or 'untouched'}; writes below sp: {stack}",
        ]
    if report.row and report.row.effects:
        lines.append(f"  effects     {_list(sorted(report.row.effects))}")
    lines.append(f"  relocation  {_kind(report)}{_condition(report)}" + (f": {report.reason}" if report.reason else ""))
    if report.relocation and not report.relocation.verbatim:
        lines += [f"              | {_step(step, report)}" for step in report.relocation.steps]
        if report.relocation.falls_through:
            lines.append(f"              | {_step(Jump(report.relocation.way_back), report)}")
    return "\n".join(lines)


def _reference(row: Row) -> str:
    """The section of the manual: DDI 0406C where the row does not name another."""
    return f" ({row.ref if row.ref.startswith('DDI') else f'DDI 0406C {row.ref}'})" if row.ref else ""


def _kind(report: Report) -> str:
    if report.relocation is None:
        return "refused"
    return "verbatim" if report.relocation.verbatim else "rewritten"


def _condition(report: Report) -> str:
    """The condition under which the steps are reached: it is tested before them."""
    if report.relocation is None or report.relocation.insn.cond == ALWAYS:
        return ""
    return f", reached if {CONDITIONS[report.relocation.insn.cond]}"


def _text(report: Report) -> str | None:
    return disassemble(report.word, report.address, report.instruction_set, it=report.it)


def _step(step: Step, report: Report) -> str:
    match step:
        case Word(word):
            return disassemble(word, report.address, report.instruction_set) or f".word 0x{word:08x}"
        case Constant(register, value):
            return f"{REGISTER_NAMES[register]} := 0x{value:08x}"
        case Jump(target):
            return f"go on at 0x{target:08x}"
        case InBlock(word):
            text = disassemble(word, report.address, report.instruction_set, it=itstate.start(ALWAYS, 0b1000))
            return f"{text or f'.short 0x{word:04x}'}, in an IT block"
        case CompareJump(register, nonzero, target):
            return f"go on at 0x{target:08x} if {REGISTER_NAMES[register]} is {'not ' if nonzero else ''}zero"


def _registers(core: int, vector: int) -> list[str]:
    names = [name for number, name in enumerate(REGISTER_NAMES) if core >> number & 1]
    for double in range(32):
        units = vector >> 2 * double & 3
        if units == 3 or (units and double >= 16):  # the halves of d16 and up have no names
            names.append(f"d{double}")
        elif units:
            names.append(f"s{2 * double + units - 1}")
    return names


def _flags(mask: int) -> list[str]:
    return [flag for flag, bit in FLAG_BITS.items() if mask & bit]


def _list(names: list[str]) -> str:
    return " ".join(names) or "nothing"
