"""Give a compiled body other registers: those its arguments are in, and those that need not be saved at its site."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from armprobe.codegen.body import PC, SP, Body
from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NUMBERS


@lru_cache(maxsize=4096)
def read_in_place(body: Body) -> Body:
    """`body`, reading arguments where they are at the site, if it uses these registers for nothing else."""
    insns = [decode(word) for word in body.words[: body.code]]
    used = written = 0
    for insn in insns:
        used |= insn.usage.reads | insn.usage.writes
        written |= insn.usage.writes
    for argument in body.arguments:
        position, number = argument[0], REGISTER_NUMBERS.get(argument[1], SP)
        if position > 3 or number in (position, SP, PC) or used >> number & 1 or position < body.given:
            continue
        renamed = rename(body, ((position, number),))
        if renamed is not None:
            clobbers = renamed.clobbers if written >> position & 1 else renamed.clobbers & ~(1 << number)
            arguments = tuple(other for other in renamed.arguments if other != argument)
            body = replace(renamed, arguments=arguments, clobbers=clobbers, in_place=body.in_place | 1 << number)
            used |= 1 << number
    return body


@lru_cache(maxsize=4096)
def rename(body: Body, mapping: tuple[tuple[int, int], ...]) -> Body | None:
    """`body` with each register `old` of the (old, new) pairs replaced by `new`; None where that can't be done.

    The pairs are of registers that the body uses and of registers that it does not use. An instruction with registers
    that no field of its own names (lists, pairs) can't be renamed.
    """
    new_of = dict(mapping)
    words = list(body.words)
    for index, word in enumerate(body.words[: body.code]):
        insn = decode(word)
        fields = {
            name: new_of[value]
            for name, value in insn.fields.items()
            if name[0] == "R" and insn.row.fields[name][1] == 15 and value in new_of
        }
        if fields:
            words[index] = insn.row.with_fields(word, **fields)
        try:
            before, after = insn.usage, decode(words[index]).usage
        except Refused:
            return None
        if after != before._replace(reads=_mask(before.reads, new_of), writes=_mask(before.writes, new_of)):
            return None
    return replace(body, words=tuple(words), clobbers=_mask(body.clobbers, new_of))


def _mask(mask: int, new_of: dict[int, int]) -> int:
    return sum(1 << new_of.get(number, number) for number in range(16) if mask >> number & 1)
