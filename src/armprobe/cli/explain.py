"""`armprobe explain`: one instruction, its probe, and the code that makes it."""

from __future__ import annotations

from typing import Any

import click

from armprobe.cli.disassembly import disassemble
from armprobe.cli.names import name_facts, name_lines
from armprobe.cli.options import ProgramOptions, open_session, program_options
from armprobe.cli.text import hexadecimal, print_json, print_output
from armprobe.codegen.detour import SlotCode
from armprobe.errors import UsageError
from armprobe.patching.classify import Classification
from armprobe.probes.explain import Explanation
from armprobe.symbols.location import resolve


@click.command
@program_options
@click.argument("locations", metavar="LOCATION...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with one object a location.")
def explain(program: ProgramOptions, locations: tuple[str, ...], as_json: bool) -> None:
    """Explain how an instruction is probed, or why it cannot be.

    Shows where it comes from and what has a name there, where the program has debug information; and what a probe that
    counts there would get: the trap, the branch, the detour it leads to, how many instructions
    that adds to each hit, and what may change while the program runs. Nothing is planted. An instruction that is
    refused is an answer like any other: the exit status is 0.

    \b
    armprobe explain firmware.elf parse_packet+8 0x8514
    """
    if not locations:
        raise click.UsageError("Missing argument 'LOCATION...'.", ctx=click.get_current_context())
    with open_session(program, output=print_output) as session:
        places = []
        for location in locations:
            found = resolve(location, session.symbols)
            if len(found) > 1:
                raise UsageError(f"{location!r} stands for {len(found)} places, and one is wanted",
                                 hint="`armprobe list` shows many")  # fmt: skip
            places.append(found[0].address)
        explanations = [(session.explain(address), name_facts(session, address)) for address in places]
    if as_json:
        print_json([facts(explanation) | names for explanation, names in explanations])
    else:
        click.echo("\n\n".join(describe(explanation, name_lines(names)) for explanation, names in explanations))


def facts(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON object of one explanation; what a refused place does not have is null."""
    code = explanation.code
    relocation = explanation.relocation
    return {
        "address": hexadecimal(explanation.address),
        "symbol": explanation.symbol,
        "original": _instructions(explanation.original, explanation.address),
        "kind": "refused" if explanation.refused else explanation.state,
        "reason": explanation.refused or explanation.reason,
        "hint": explanation.hint,
        "row": explanation.insn.row.name if explanation.insn else None,
        "relocation": None if relocation is None else "verbatim" if relocation.verbatim else "rewritten",
        "window": explanation.window if code else None,
        "trap": _instructions(explanation.trap, explanation.address),
        "branch": _instructions(explanation.branch, explanation.address),
        "planting": _change(explanation.planting),
        "upgrading": _change(explanation.upgrading),
        "instructions_added": code.added if code and explanation.branch else None,
        "detour": None if code is None else {
            "address": hexadecimal(code.base),
            "size": len(code.code.data),
            "listing": [
                {"address": hexadecimal(address), "word": f"{word:08x}", "text": text, "comment": comment}
                for address, word, text, comment in listing(code)
            ],
        },
    }  # fmt: skip


def describe(explanation: Explanation, names: list[str]) -> str:
    """Return one explanation as text, for people; `names` are the lines about names."""
    name = explanation.symbol
    where = hexadecimal(explanation.address)
    lines = [where if name == where else f"{name} at {where}", *names]
    lines += _named("original", explanation.original, explanation.address)
    if explanation.refused:
        lines.append(f"  refused     {explanation.refused}")
        return "\n".join([*lines, *([f"  help        {explanation.hint}"] if explanation.hint else [])])
    relocation, code = explanation.relocation, explanation.code
    assert relocation is not None
    assert code is not None
    lines.append(f"  relocation  {'verbatim' if relocation.verbatim else 'rewritten'}")
    lines.append(f"  window      {explanation.window} bytes")
    if explanation.trap:
        lines += _named("trap", explanation.trap, explanation.address)
    else:
        lines.append("  trap        a breakpoint of the target: memory keeps the instruction")
    lines += _named("branch", explanation.branch, explanation.address)
    lines.append(f"  planting    {_change_text(explanation.planting)}")
    if explanation.upgrading is not None:
        lines.append(f"  upgrading   {_change_text(explanation.upgrading)}")
    state = explanation.state if explanation.probes else f"would be a {explanation.state}"
    lines.append(f"  state       {state}" + (f": {explanation.reason}" if explanation.reason else ""))
    cost = f"; {code.added} instructions added to each hit" if explanation.branch else ""
    lines.append(f"  detour      {len(code.code.data)} bytes at {hexadecimal(code.base)}{cost}")
    rows = list(listing(code))
    width = max(len(text) for _, _, text, _ in rows)
    lines += [
        f"    {address:08x}  {word:08x}  {text:{width}}  {comment}".rstrip() for address, word, text, comment in rows
    ]
    return "\n".join(lines)


def listing(code: SlotCode) -> list[tuple[int, int, str, str]]:
    """The words of a slot: address, word, text, comment. Data are shown as `.word`."""
    rows = []
    for line in code.code.lines:
        for offset in range(line.offset, line.offset + line.size, 4):
            address = code.base + offset
            word = int.from_bytes(code.code.data[offset : offset + 4], "little")
            text = None if line.data else disassemble(word, address)
            rows.append((address, word, text or f".word 0x{word:08x}", line.comment))
    return rows


def _named(name: str, code: bytes, address: int) -> list[str]:
    """Lines with the instructions of `code`; the first begins with the name."""
    return [
        f"  {name if index == 0 else '':<10}  {instruction['word']}  {instruction['text'] or ''}".rstrip()
        for index, instruction in enumerate(_instructions(code, address))
    ]


def _instructions(code: bytes, address: int) -> list[dict[str, str | None]]:
    words = [int.from_bytes(code[offset : offset + 4], "little") for offset in range(0, len(code), 4)]
    return [{"word": f"{word:08x}", "text": disassemble(word, address + 4 * i)} for i, word in enumerate(words)]


def _change(change: Classification | None) -> dict[str, str] | None:
    return None if change is None else {"change": change.change.name.lower(), "rule": change.rule}


def _change_text(change: Classification | None) -> str:
    assert change is not None
    return f"{change.change.value}: {change.rule}"
