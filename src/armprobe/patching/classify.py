"""May these bytes replace those while processors execute them? The architecture's list, and nothing beyond it.

An A32 word may change under a running processor only if the old and the new instruction are both B, BL, NOP, BKPT, SVC,
HVC or SMC (DDI 0406C A3.5.4; DDI 0487 E2.2.5). ISB is left out: the two texts disagree about it. Everything else needs
every processor away from the site, and a context synchronisation event before it comes back.

T32 is judged halfword by halfword, because that is what a processor fetches: 16-bit B, NOP, BKPT and SVC like A32
words; of a 32-bit instruction one half at a time, and only in the cases listed. UDF, NOP.W, `mov r0, r0` and the first
halfword of B.W are in no list. Nothing here knows whether an IT instruction stands before the site: that is for the
caller to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from armprobe.errors import UsageError
from armprobe.isa.insn import ALWAYS
from armprobe.isa.instruction_set import InstructionSet, is_wide

_MANUAL = "DDI 0406C A3.5.4"


class Change(Enum):
    """How a site may change."""

    LIVE = "while the target runs"
    LIVE_HW1 = "while the target runs, the first halfword alone"
    LIVE_HW2 = "while the target runs, the second halfword alone"
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

#: the 16-bit encodings that are named by the rule; 0b1110 and 0b1111 in the condition of B (T1) are UDF and SVC
_NAMED_T16 = (
    ("SVC", 0xFF00, 0xDF00),
    ("UDF", 0xFF00, 0xDE00),
    ("B", 0xF000, 0xD000),
    ("B", 0xF800, 0xE000),
    ("NOP", 0xFFFF, 0xBF00),
    ("BKPT", 0xFF00, 0xBE00),
    ("BX", 0xFF87, 0x4700),
    ("BLX", 0xFF87, 0x4780),
)
_LISTED_T16 = ("B", "NOP", "BKPT", "SVC")
#: the 16-bit instructions that exchange with the first halfword of BL and BLX (immediate); NOP is not one of them
_BESIDE_BL = ("B", "BX", "BLX", "BKPT", "SVC")

#: name, then mask and value of both halves as 0xhw1_hw2; of B.W (T3), conditions 0b111x are other instructions
_BRANCHES_T32 = (
    ("BL", 0xF800D000, 0xF000D000),
    ("BLX", 0xF800D001, 0xF000C000),
    ("B.W", 0xF800D000, 0xF0009000),
    ("B<c>.W", 0xF800D000, 0xF0008000),
)


def classify(old: bytes, new: bytes, *, isa: InstructionSet) -> Classification:
    """Classify the replacement of `old` by `new`, both whole instructions at one address, in memory order.

    In T32 a 16-bit instruction may stand for the first half of a 32-bit one: `bkpt` and what was its second halfword.
    Raises UsageError when the two are not of one length, or are no whole instructions.
    """
    match isa:
        case InstructionSet.A32:
            return _classify_a32(old, new)
        case InstructionSet.T32:
            return _classify_t32(old, new)


def mixture(old: int, new: int) -> tuple[int, int] | None:
    """The two A32 words that may run, besides `old` and `new`, while one branch replaces the other.

    Old condition with new target, and new condition with old target; None unless both are B or BL and both parts change
    (DDI 0487 E2.2.5).
    """
    if _listed_name(old) not in _BRANCHES or _listed_name(new) not in _BRANCHES:
        return None
    if old >> 28 == new >> 28 or not (old ^ new) & 0xFFFFFF:
        return None
    return old & 0xF0000000 | new & 0x0FFFFFFF, new & 0xF0000000 | old & 0x0FFFFFFF


# --- A32


def _classify_a32(old: bytes, new: bytes) -> Classification:
    if len(old) != len(new) or not old or len(old) % 4:
        raise UsageError(
            f"one or more A32 words of 4 bytes replace as many others, but {len(new)} bytes came for {len(old)}"
        )
    pairs = [(_unit(old, i, 4), _unit(new, i, 4)) for i in range(0, len(old), 4)]
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    if not changed:
        return Classification(Change.LIVE, "no byte changes")
    if len(changed) > 1:
        return _several(len(changed))
    return _classify_word(*changed[0])


def _unit(code: bytes, offset: int, size: int) -> int:
    return int.from_bytes(code[offset : offset + size], "little")


def _several(number: int) -> Classification:
    return Classification(
        Change.STOP, f"{number} instructions change, and a processor may execute one old and one new ({_MANUAL})"
    )


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
    if mixture(old, new) is not None:
        return _mixed()
    return Classification(Change.LIVE, f"{old_name} and {new_name} are both listed ({_MANUAL})")


def _mixed() -> Classification:
    return Classification(
        Change.STOP,
        f"condition and target of a branch change together, and a processor may mix old and new ({_MANUAL})",
    )


# --- T32


def _classify_t32(old: bytes, new: bytes) -> Classification:
    if len(old) != len(new) or not old or len(old) % 2:
        raise UsageError(
            f"one or more T32 halfwords of 2 bytes replace as many others, but {len(new)} bytes came for {len(old)}"
        )
    start = _first_difference(old, new)
    if start is None:
        return Classification(Change.LIVE, "no byte changes")
    before = [_unit(old, i, 2) for i in range(start, len(old), 2)]
    after = [_unit(new, i, 2) for i in range(start, len(new), 2)]
    wide = is_wide(before[0]), is_wide(after[0])
    if any(wide) and len(before) < 2:
        raise UsageError(f"a 32-bit T32 instruction begins in the last halfword, 0x{max(before[0], after[0]):04x}")
    length = 2 if any(wide) else 1
    if before[length:] != after[length:]:
        return _several(sum(a != b for a, b in zip(before, after, strict=True)))
    if not any(wide):
        return _classify_narrow(before[0], after[0])
    if before[0] != after[0] and before[1] != after[1]:
        return Classification(
            Change.STOP,
            "both halfwords of a 32-bit instruction change, and a processor may execute one old and one new "
            f"({_MANUAL}, A3.5.3)",
        )
    if all(wide):
        return _classify_wide(before[0] << 16 | before[1], after[0] << 16 | after[1])
    return _classify_beside(before, after)


def _first_difference(old: bytes, new: bytes) -> int | None:
    """The offset of the first instruction that changes; what is the same in both is executed the same."""
    offset = 0
    while offset < len(old):
        size = 4 if is_wide(_unit(old, offset, 2)) else 2
        if old[offset : offset + size] != new[offset : offset + size]:
            return offset
        offset += size
    return None


def _narrow_name(halfword: int) -> str | None:
    return next((name for name, mask, value in _NAMED_T16 if halfword & mask == value), None)


def _wide_name(word: int) -> str | None:
    name = next((name for name, mask, value in _BRANCHES_T32 if word & mask == value), None)
    return None if name == "B<c>.W" and word >> 23 & 7 == 7 else name


def _condition_and_target(halfword: int) -> tuple[int, int]:
    """Of a 16-bit B: its condition, and its offset in halfwords (DDI 0406C A8.8.18, T1 and T2)."""
    if halfword >> 12 == 0b1101:
        return halfword >> 8 & 15, (halfword & 0xFF ^ 0x80) - 0x80
    return ALWAYS, (halfword & 0x7FF ^ 0x400) - 0x400


def _classify_narrow(old: int, new: int) -> Classification:
    names = _narrow_name(old), _narrow_name(new)
    for which, halfword, name in (("old", old, names[0]), ("new", new, names[1])):
        if name not in _LISTED_T16:
            return Classification(
                Change.STOP,
                f"the {which} halfword 0x{halfword:04x} is not a 16-bit B, NOP, BKPT or SVC ({_MANUAL})",
            )
    if names == ("B", "B"):
        (old_cond, old_target), (new_cond, new_target) = _condition_and_target(old), _condition_and_target(new)
        if old_cond != new_cond and old_target != new_target:
            return _mixed()
    return Classification(Change.LIVE, f"16-bit {names[0]} and {names[1]} are both listed ({_MANUAL})")


def _classify_wide(old: int, new: int) -> Classification:
    """Both have 32 bits, and one half is the same."""
    names = _wide_name(old), _wide_name(new)
    first = old >> 16 != new >> 16
    half = "first" if first else "second"
    if names[0] is not None and names[0] == names[1] and not (first and names[0].endswith(".W")):
        change = Change.LIVE_HW1 if first else Change.LIVE_HW2
        return Classification(change, f"the {half} halfword of {names[0]} becomes that of another ({_MANUAL})")
    shown = " to ".join(
        name or f"0x{word >> 16:04x} 0x{word & 0xFFFF:04x}" for name, word in zip(names, (old, new), strict=True)
    )
    return Classification(Change.STOP, f"the {half} halfword changes from {shown}, which is not listed ({_MANUAL})")


def _classify_beside(before: list[int], after: list[int]) -> Classification:
    """A 16-bit instruction and the first half of a 32-bit one replace each other; the second halfword stays."""
    narrow, wide = sorted((before[0], after[0]), key=is_wide)
    names = _narrow_name(narrow), _wide_name(wide << 16 | before[1])
    if names[0] in _BESIDE_BL and names[1] in ("BL", "BLX"):
        return Classification(
            Change.LIVE_HW1, f"16-bit {names[0]} and the first halfword of {names[1]} are listed ({_MANUAL})"
        )
    return Classification(
        Change.STOP,
        f"{names[0] or f'0x{narrow:04x}'} and the first halfword of {names[1] or f'0x{wide:04x} 0x{before[1]:04x}'} "
        f"are not listed ({_MANUAL})",
    )
