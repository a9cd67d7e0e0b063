"""Takes out of compiled code what a detour has no use for.

Registers are saved by the detour: those that are live at its site, and only these. And the compiler does not join a
branch with a tail call that it leads to.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from armprobe.isa.decoder import decode
from armprobe.isa.insn import Insn

SP = 13
#: a branch out of the code, as the compiler leaves it, but for its condition
BRANCH_TO_SELF = 0x0AFFFFFE
#: the same of a call
CALL_OF_SELF = 0x0BFFFFFE
_ALWAYS = 0xE


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


@dataclass(slots=True)
class Trim:
    """Code that loses instructions: `code` words of it, then literals."""

    words: list[int]
    code: int
    #: the branches out of the code: by index, the symbol they go to
    leaving: dict[int, str]
    #: where the words of the beginning (and the end) are now
    place: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.place = list(range(len(self.words) + 1))

    def delete(self, removed: Collection[int]) -> bool:
        """Leave out instructions; branches and literal loads go on reaching what they did.

        Returns False, with nothing changed, if an instruction uses PC in another way.
        """
        place, gone = [], 0
        for index in range(len(self.words) + 1):
            place.append(index - gone)
            gone += index in removed
        result = []
        for index, word in enumerate(self.words):
            if index in removed:
                continue
            moved = _move(decode(word), index, place) if index < self.code else word
            if moved is None:
                return False
            result.append(moved)
        self.words, self.code = result, place[self.code]
        self.leaving = {place[index]: symbol for index, symbol in self.leaving.items() if index not in removed}
        self.place = [place[index] for index in self.place]
        return True

    def drop_last(self) -> None:
        """Leave out the last word: a branch out, which nothing follows."""
        self.words.pop()
        self.code -= 1
        del self.leaving[self.code]

    def leave_at_once(self) -> None:
        """Let branches that lead to an unconditional branch out of the code leave themselves."""
        for index, word in enumerate(self.words[: self.code]):
            if word & 0x0F000000 == 0x0A000000 and index not in self.leaving:
                target = index + 2 + ((word & 0xFFFFFF) ^ 0x800000) - 0x800000
                if target in self.leaving and self.words[target] >> 28 == _ALWAYS:
                    self.words[index] = word & 0xF0000000 | BRANCH_TO_SELF
                    self.leaving[index] = self.leaving[target]

    def unreachable(self) -> set[int]:
        """The indices of instructions that control never reaches from the first."""
        reached: set[int] = set()
        todo = [0]
        while todo:
            index = todo.pop()
            if index in reached or index >= self.code:
                continue
            reached.add(index)
            if self.words[index] & 0x0FFFFFFF == CALL_OF_SELF:
                todo.append(index + 1)
                continue
            target = decode(self.words[index]).target(4 * index)
            if target is not None:
                todo.append(target // 4)
            if target is None or self.words[index] >> 28 != _ALWAYS:
                todo.append(index + 1)
        return set(range(self.code)) - reached


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
