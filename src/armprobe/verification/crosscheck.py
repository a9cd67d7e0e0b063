"""The tables against independent decoders: validity and core register usage of millions of words.

The tables say valid, unpredictable or undefined. A disagreement is
  - a word valid by the tables that a decoder does not call valid;
  - a word undefined by the tables that a decoder takes for an instruction, predictable or not;
  - a word unpredictable by the tables that every decoder calls valid ("all"): alone, each of them checks little;
  - a valid word of which Capstone lists other core registers, or objdump prints one that is not used.
Each is explained in `disagreements` (of T32: `disagreements_t32`), or a failure. So is an explanation that excuses
nothing.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from armprobe.isa.decoder import find_row, table
from armprobe.isa.instruction_set import InstructionSet, is_wide, show
from armprobe.isa.rows import Row
from armprobe.isa.usage import Usage
from armprobe.verification import decoders
from armprobe.verification.decoders import UNPREDICTABLE, VALID, VERDICTS
from armprobe.verification.disagreements import EXPLAINED, Disagreement
from armprobe.verification.disagreements_t32 import EXPLAINED as EXPLAINED_T32
from armprobe.verification.sample import sample, uncovered

#: halfwords that are an instruction of T32
_HALFWORDS = next(halfword for halfword in range(0x10000) if is_wide(halfword))
A32, T32 = InstructionSet.A32, InstructionSet.T32
#: words of each row: two million in all of A32; 0.7 million of T32, whose VFP and Advanced SIMD are those of A32
PER_ROW = {A32: 3000, T32: 1000}
_EXPLAINED = {A32: EXPLAINED, T32: EXPLAINED_T32}
#: Capstone, which is slow, is asked about one word in so many, and about every halfword
STRIDE = 7


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the tables say about a word; `row` is None where none matches, `why` is the reason the row gives."""

    row: Row | None
    verdict: int
    why: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A word about which a decoder differs; `registers` is the mask of those that differ, 0 for verdicts."""

    word: int
    registers: int


#: differences of one kind: by the number of the judgement, the decoder, and what it says
Groups = dict[tuple[int, str, str], list[Difference]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found; it is good when all three lists are empty."""

    words: int
    differences: int
    uncovered: tuple[str, ...]
    unexplained: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that is wrong, one line each."""
        return (
            *(f"not sampled: {line}" for line in self.uncovered),
            *(f"unexplained: {line}" for line in self.unexplained),
            *(f"the explanation {line!r} excuses nothing: remove it" for line in self.unused),
        )


def crosscheck(
    per_row: int,
    *,
    instruction_set: InstructionSet = A32,
    seed: int = 1,
    rows: Sequence[Row] | None = None,
    explained: Sequence[Disagreement] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Report:
    """Compare the tables and the decoders on `sample(rows, per_row)`. All of `decoders` must be installed.

    Of the 16-bit rows of T32, every halfword is compared.
    """
    rows = table(instruction_set) if rows is None else rows
    explained = _EXPLAINED[instruction_set] if explained is None else explained
    progress(f"sampling {per_row} words of each of {len(rows)} rows")
    words = array("I", sample([row for row in rows if row.length == 4], per_row, seed=seed))
    detailed = array("I", range(0, len(words), STRIDE))
    if any(row.length == 2 for row in rows):
        detailed.extend(range(len(words), len(words) + _HALFWORDS))
        words.extend(range(_HALFWORDS))
    progress(f"judging {len(words)} words by the tables")
    judgements, judged = _judge(words, instruction_set)
    groups: Groups = {}
    covered: dict[str, list[int]] = {}
    for place, decoder, theirs, registers in _differences(
        words, detailed, instruction_set, judgements, judged, progress
    ):
        difference = Difference(words[place], registers)
        groups.setdefault((judged[place], decoder, theirs), []).append(difference)
    for place in detailed:
        row = judgements[judged[place]].row
        if row is not None:
            covered.setdefault(row.name, []).append(words[place])
    unexplained, used = _explain(judgements, groups, explained, instruction_set)
    return Report(
        words=len(words),
        differences=sum(map(len, groups.values())),
        uncovered=tuple(uncovered(rows, covered)),
        unexplained=tuple(unexplained),
        unused=tuple(one.name for n, one in enumerate(explained) if n not in used),
    )


def _judge(words: Sequence[int], instruction_set: InstructionSet) -> tuple[list[Judgement], array[int]]:
    """The distinct judgements, and for each word which of them it is."""
    numbers: dict[tuple[str, str], int] = {}
    judgements: list[Judgement] = []
    judged = array("I")
    for word in words:
        row = find_row(word, instruction_set)
        problem = ("undefined", "no row") if row is None else row.invalid(word)
        verdict, why = problem or ("valid", "")
        key = ("-" if row is None else row.name, why)
        if key not in numbers:
            numbers[key] = len(judgements)
            judgements.append(Judgement(row, VERDICTS.index(verdict), why))
        judged.append(numbers[key])
    return judgements, judged


def _differences(
    words: Sequence[int],
    detailed: Sequence[int],
    instruction_set: InstructionSet,
    judgements: Sequence[Judgement],
    judged: Sequence[int],
    progress: Callable[[str], object],
) -> Iterator[tuple[int, str, str, int]]:
    """Yield (place of the word, decoder, what it says, registers) for each disagreement."""
    progress("asking GNU objdump")
    by_objdump, printed, looked_at = bytearray(), array("H"), frozenset(detailed)
    for place, text in enumerate(decoders.objdump(words, instruction_set)):
        by_objdump.append(decoders.objdump_verdict(text))
        if place in looked_at:
            printed.append(decoders.printed_registers(text))
    progress("asking LLVM")
    by_llvm = decoders.llvm(words, instruction_set)
    for decoder, opinion in (("objdump", by_objdump), ("llvm", by_llvm)):
        for place, (which, verdict) in enumerate(zip(judged, opinion, strict=True)):
            ours = judgements[which].verdict
            if ours not in (verdict, UNPREDICTABLE):
                yield place, decoder, VERDICTS[verdict], 0

    progress(f"asking Capstone about {len(detailed)} of them")
    asked = [words[place] for place in detailed]
    for place, access, operands in zip(detailed, decoders.capstone(asked, instruction_set), printed, strict=True):
        judgement = judgements[judged[place]]
        if judgement.verdict not in (access.verdict, UNPREDICTABLE):
            yield place, "capstone", VERDICTS[access.verdict], 0
        if judgement.verdict == UNPREDICTABLE and not (access.verdict or by_objdump[place] or by_llvm[place]):
            yield place, "all", VERDICTS[VALID], 0
        if judgement.verdict == VALID and access.verdict == VALID:
            assert judgement.row is not None
            usage = judgement.row.usage(words[place])
            for decoder, theirs, registers in _registers(usage, access, operands):
                yield place, decoder, theirs, registers


def _registers(usage: Usage, access: decoders.Access, printed: int) -> Iterator[tuple[str, str, int]]:
    for theirs, registers in (
        ("misses a read", usage.reads & ~access.reads),
        ("misses a write", usage.writes & ~access.writes),
        ("adds a read", access.reads & ~usage.reads),
        ("adds a write", access.writes & ~usage.writes),
    ):
        if registers:
            yield "capstone", theirs, registers
    unused = printed & ~(usage.reads | usage.writes)
    if unused:
        yield "objdump", "prints a register that is not used", unused


def _explain(
    judgements: Sequence[Judgement],
    groups: Groups,
    explained: Sequence[Disagreement],
    instruction_set: InstructionSet,
) -> tuple[list[str], set[int]]:
    """One line for each group that is not wholly explained, and the numbers of the explanations that were needed."""
    unexplained: list[str] = []
    used: set[int] = set()
    for (which, decoder, theirs), left in groups.items():
        judgement = judgements[which]
        name = "-" if judgement.row is None else judgement.row.name
        for number, one in enumerate(explained):
            if (decoder, theirs, VERDICTS[judgement.verdict]) not in one.cases:
                continue
            if not (re.fullmatch(one.rows, name) and re.fullmatch(one.why, judgement.why)):
                continue
            rest = [difference for difference in left if not _holds(one, judgement.row, difference)]
            if len(rest) < len(left):
                used.add(number)
            left = rest
            if not left:
                break
        if left:
            why = f" ({judgement.why})" if judgement.why else ""
            example = left[0]
            mask = f", registers 0x{example.registers:04x}" if example.registers else ""
            unexplained.append(
                f"{name} is {VERDICTS[judgement.verdict]}{why}, {decoder}: {theirs}: "
                f"{len(left)} words, such as {show(example.word, instruction_set)}{mask}"
            )
    return unexplained, used


def _holds(one: Disagreement, row: Row | None, difference: Difference) -> bool:
    if not one.when:
        return True
    scope = {} if row is None else row.extract(difference.word)
    scope |= {"word": difference.word, "registers": difference.registers}
    return bool(eval(one.condition, {"__builtins__": {}}, scope))  # noqa: S307  the text is ours: disagreements.py


def main(rounds: int = 5, *, seed: int = 1, write: Callable[[str], object] = sys.stdout.write) -> int:
    """Compare the words of both sets, `rounds` times with other seeds; return an exit status: 0 if all is explained."""
    failed = 0
    for number, (instruction_set, per_row) in product(range(seed, seed + rounds), PER_ROW.items()):
        write(f"{instruction_set.value}\n")
        report = crosscheck(
            per_row, instruction_set=instruction_set, seed=number, progress=lambda text: write(text + "\n")
        )
        for line in report.failures:
            write(f"seed {number}: {line}\n")
        write(f"{report.words} words, {report.differences} disagreements, {len(report.failures)} failures\n")
        failed += len(report.failures)
    return 1 if failed else 0
