"""May these bytes replace those while processors execute them? The architecture's list, and nothing beyond it.

A word may change under a running processor only if the old and the new instruction are both B, BL, NOP, BKPT, SVC, HVC
or SMC (DDI 0406C A3.5.4; DDI 0487 E2.2.5). ISB is left out: the two texts disagree about it. Everything else needs
every processor away from the site, and a context synchronisation event before it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from armprobe.errors import UsageError
from armprobe.isa.insn import InstructionSet

_MANUAL = "DDI 0406C A3.5.4"


class Change(Enum):
    """How a site may change. T32 will add its two halfword cases."""

    LIVE = "while the target runs"
    STOP = "only under a stop"


@dataclass(frozen=True, slots=True)
class Classification:
    """A verdict and the rule it follows from, with its section of the manual."""

    change: Change
    rule: str

    def __str__(self) -> str:
        return f"{self.change.name}: {self.rule}"


#: name, mask, value of the A32 words that are listed, below a condition other than 0b1111. HVC and BKPT have AL only.
_LISTED_A32 = (
    ("B", 0x0F000000, 0x0A000000),
    ("BL", 0x0F000000, 0x0B000000),
    ("SVC", 0x0F000000, 0x0F000000),
    ("NOP", 0x0FFFFFFF, 0x0320F000),
    ("SMC", 0x0FFFFFF0, 0x01600070),
    ("BKPT", 0xFFF000F0, 0xE1200070),
    ("HVC", 0xFFF000F0, 0xE1400070),
)
_BRANCHES = ("B", "BL")


def classify(old: bytes, new: bytes, *, isa: InstructionSet) -> Classification:
    """Classify the replacement of `old` by `new`, both whole instructions at one address, in memory order.

    Raises UsageError when the two are not of one length, or are no whole instructions.
    """
    match isa:
        case InstructionSet.A32:
            return _classify_a32(old, new)


def _classify_a32(old: bytes, new: bytes) -> Classification:
    if len(old) != len(new) or not old or len(old) % 4:
        raise UsageError(
            f"one or more A32 words of 4 bytes replace as many others, but {len(new)} bytes came for {len(old)}"
        )
    pairs = [(_word(old, i), _word(new, i)) for i in range(0, len(old), 4)]
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    if not changed:
        return Classification(Change.LIVE, "no byte changes")
    if len(changed) > 1:
        return Classification(
            Change.STOP,
            f"{len(changed)} instructions change, and a processor may execute one old and one new ({_MANUAL})",
        )
    return _classify_word(*changed[0])


def _word(code: bytes, offset: int) -> int:
    return int.from_bytes(code[offset : offset + 4], "little")


def _listed_name(word: int) -> str | None:
    if word >> 28 == 15:
        return None
    return next((name for name, mask, value in _LISTED_A32 if word & mask == value), None)


def _classify_word(old: int, new: int) -> Classification:
    old_name, new_name = _listed_name(old), _listed_name(new)
    for which, word, name in (("old", old, old_name), ("new", new, new_name)):
        if name is None:
            return Classification(
                Change.STOP,
                f"the {which} word 0x{word:08x} is not B, BL, NOP, BKPT, SVC, HVC or SMC ({_MANUAL})",
            )
    if old_name in _BRANCHES and new_name in _BRANCHES and old >> 28 != new >> 28 and (old ^ new) & 0xFFFFFF:
        return Classification(
            Change.STOP,
            f"condition and target of a branch change together, and a processor may mix old and new ({_MANUAL})",
        )
    return Classification(Change.LIVE, f"{old_name} and {new_name} are both listed ({_MANUAL})")
