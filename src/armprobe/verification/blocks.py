"""Where a T32 case puts its instruction: outside of an IT block, or into one with others around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from armprobe.isa import itstate
from armprobe.isa.insn import ALWAYS

NOP = 0xBF00
#: What stands in a block besides the instruction: some set flags there, so that conditions change on the way, and some
#: set them outside of a block only.
_OTHERS = (
    NOP,
    0x4288,  # cmp r0, r1
    0x42EB,  # cmn r3, r5
    0x4236,  # tst r6, r6
    0x3201,  # adds r2, #1
    0x2300,  # movs r3, #0
    0x006C,  # lsls r4, r5, #1
    0x4140,  # adcs r0, r0
)


@dataclass(frozen=True, slots=True)
class Place:
    """The conditions of an IT block, none of them outside of one, and which of its instructions is the one in question.

    `from_it`: the probe stands at IT. Else it is at the instruction, and those before it are NOP.
    """

    conditions: tuple[int, ...] = ()
    position: int = 0
    from_it: bool = False

    @property
    def states(self) -> list[int]:
        """ITSTATE of each instruction of the block."""
        if not self.conditions:
            return []
        states = [self.it_word & 0xFF]
        for _ in self.conditions[1:]:
            states.append(itstate.advance(states[-1]))
        return states

    @property
    def state(self) -> int:
        """ITSTATE of the instruction in question."""
        return self.states[self.position] if self.conditions else 0

    @property
    def it_word(self) -> int:
        """The IT instruction that begins the block."""
        mask = 1 << 4 - len(self.conditions)
        for number, cond in enumerate(self.conditions[1:]):
            mask |= (cond & 1) << 3 - number
        return NOP | self.conditions[0] << 4 | mask


def choose_place(random: Random, cond: int, *, last: bool) -> Place:
    """Choose a place in which an instruction has this condition; `last`: none in the middle of a block."""
    if cond == ALWAYS and random.random() < 0.8:
        return Place()
    length = random.randint(1, 4)
    position = length - 1 if last or random.random() < 0.5 else random.randrange(length)
    conditions = [cond ^ (random.getrandbits(1) if cond != ALWAYS else 0) for _ in range(length)]
    conditions[position] = cond
    return Place(tuple(conditions), position, bool(random.getrandbits(1)))


def fill(random: Random, place: Place, word: int) -> Sequence[int]:
    """The words of a block with `word` in its place, from IT on."""
    words = [place.it_word]
    for number in range(len(place.conditions)):
        before_probe = number < place.position and not place.from_it
        words.append(word if number == place.position else NOP if before_probe else random.choice(_OTHERS))
    return words


def block_after_it(random: Random, word: int) -> Sequence[int]:
    """The words of the block that the IT instruction `word` begins."""
    count = 4 - (word & -word & 15).bit_length() + 1
    return [word, *(random.choice(_OTHERS) for _ in range(count))]
