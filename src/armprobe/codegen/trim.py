"""Takes the saving of registers out of compiled code: the detour saves what is live at its site, and only that."""

from __future__ import annotations

from collections.abc import Collection

from armprobe.isa.decoder import decode
from armprobe.isa.insn import Insn

SP = 13


def saves(insns: list[Insn]) -> set[int]:
    """The indices of all pushes and pops, if these are the only uses of SP; else the empty set.

    A push or pop moves SP by what it stores or loads and by nothing else.
    """
    found = set()
    for index, insn in enumerate(insns):
        usage = insn.usage
        if not (usage.reads | usage.writes) >> SP & 1:
            continue
        if not (usage.reads & usage.writes & 1 << SP and (usage.loads or usage.stores)):
            return set()
        found.add(index)
    return found


def delete(words: list[int], code: int, removed: Collection[int]) -> tuple[list[int], list[int]] | None:
    """Leave out the words `removed` of the first `code` ones; branches and literal loads go on reaching what they did.

    Give the new words, and for each old index (and the end) the new one. None if an instruction uses PC in another way.
    """
    place = [index - sum(gone < index for gone in removed) for index in range(len(words) + 1)]
    result = []
    for index, word in enumerate(words):
        if index in removed:
            continue
        moved = _move(decode(word), index, place) if index < code else word
        if moved is None:
            return None
        result.append(moved)
    return result, place


def _move(insn: Insn, index: int, place: list[int]) -> int | None:
    """The instruction for its new place."""
    if (target := insn.target(4 * index)) is not None:
        return insn.row.with_fields(insn.word, imm24=place[target // 4] - place[index] - 2 & 0xFFFFFF)
    if not insn.reads_pc:
        return insn.word
    if insn.row.name not in ("LDR_literal_A1", "LDRB_literal_A1"):
        return None
    fields = insn.fields
    address = 4 * index + 8 + (fields["imm12"] if fields["U"] else -fields["imm12"])
    distance = 4 * place[address // 4] + address % 4 - 4 * place[index] - 8
    return insn.row.with_fields(insn.word, U=int(distance >= 0), imm12=abs(distance))
