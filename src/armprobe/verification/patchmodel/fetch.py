"""What a core may execute at the site: every instruction that its prefetched units can form, or a broken rule."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations

from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.patching.classify import Change, Classification, classify, mixture
from armprobe.verification.patchmodel.memory import Values
from armprobe.verification.patchmodel.state import Violation
from armprobe.verification.patchmodel.vocabulary import FIRST, SECOND


def show(unit: int, isa: InstructionSet) -> str:
    """An instruction in hexadecimal: a word, or one or two halfwords."""
    if isa is InstructionSet.A32:
        return f"{unit:08x}"
    return f"{unit >> 16:04x} {unit & 0xFFFF:04x}" if unit > 0xFFFF else f"{unit:04x}"


def fetched_a32(words: Values) -> tuple[int, ...] | Violation:
    """The words that may run when any of `words` may have been prefetched.

    Two listed branches that differ in condition and target also give their mixtures: the caller finds out whether those
    mean something.
    """
    found = set(words)
    for old, new in combinations(sorted(words), 2):
        mixed = mixture(old, new)
        if mixed is not None:
            found.update(mixed)
        else:
            verdict = judge(old, new, isa=InstructionSet.A32)
            if verdict.change is Change.STOP:
                return _unlisted((old, new), verdict, InstructionSet.A32)
    return tuple(sorted(found))


def fetched_t32(first: Values, second: Values) -> tuple[int, ...] | Violation:
    """The instructions that any first and any second halfword form: a processor fetches them one by one."""
    for old, new in combinations(sorted(first), 2):
        for other in second if is_wide(old) or is_wide(new) else (0,):
            verdict = judge(_join(old, other), _join(new, other), isa=InstructionSet.T32, beside=other)
            if verdict.change is Change.STOP:
                return _unlisted((_join(old, other), _join(new, other)), verdict, InstructionSet.T32)
    wide = [half for half in first if is_wide(half)]
    for half in wide:
        for old, new in combinations(sorted(second), 2):
            verdict = judge(half << 16 | old, half << 16 | new, isa=InstructionSet.T32)
            if verdict.change is Change.STOP:
                return _unlisted((half << 16 | old, half << 16 | new), verdict, InstructionSet.T32)
    found = {half << 16 | other for half in wide for other in second} | {half for half in first if not is_wide(half)}
    return tuple(sorted(found))


def _join(first: int, second: int) -> int:
    return first << 16 | second if is_wide(first) else first


@lru_cache(maxsize=1 << 12)
def judge(old: int, new: int, *, isa: InstructionSet, beside: int = 0) -> Classification:
    """Classify two instructions of the model, where a halfword may stand beside `beside`."""
    if isa is InstructionSet.A32:
        return classify(old.to_bytes(4, "little"), new.to_bytes(4, "little"), isa=isa)
    halves = [[unit >> 16, unit & 0xFFFF] if unit > 0xFFFF else [unit] for unit in (old, new)]
    if len(halves[0]) != len(halves[1]):
        halves = [half if len(half) == 2 else [*half, beside] for half in halves]
    codes = [b"".join(half.to_bytes(2, "little") for half in pair) for pair in halves]
    return classify(codes[0], codes[1], isa=isa)


def _unlisted(pair: Iterable[int], verdict: Classification, isa: InstructionSet) -> Violation:
    either = " or ".join(show(unit, isa) for unit in pair)
    return Violation("I1", f"fetches {either}: {verdict.rule}")


def at_site(isa: InstructionSet, units: tuple[Values, ...]) -> tuple[int, ...] | Violation:
    """What may run at the first instruction of the site."""
    if isa is InstructionSet.A32:
        return fetched_a32(units[FIRST])
    return fetched_t32(units[FIRST], units[SECOND])


def stored_under(isa: InstructionSet, before: tuple[int, ...], cell: int, value: int) -> Violation | None:
    """What is wrong with storing `value` while a core that runs is at the instruction the store changes."""
    if isa is InstructionSet.A32:
        old, new, beside = before[cell], value, 0
        if mixture(old, new) is not None:
            return None  # a core that takes the mixture is found at its fetch
    else:
        after = (value, before[SECOND]) if cell == FIRST else (before[FIRST], value)
        old, new = _join(*before[:2]), _join(*after)
        beside = before[SECOND]
    verdict = judge(old, new, isa=isa, beside=beside)
    if verdict.change is not Change.STOP:
        return None
    return Violation("I1", f"is at {show(old, isa)} while {show(value, isa)} is stored over it: {verdict.rule}")


def newest_instruction(isa: InstructionSet, newest: tuple[int, ...]) -> int:
    """What a handler that reads memory finds at the site."""
    return newest[FIRST] if isa is InstructionSet.A32 else _join(newest[FIRST], newest[SECOND])
