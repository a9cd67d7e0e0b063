"""Usage by execution: what the rows say an instruction reads and writes, against what it does in Unicorn.

Each word runs twice. The two states agree in everything its row says it reads and differ at random in everything else,
the address included unless it reads PC. Then, in each run, nothing may change but what the row says it writes; and
between the runs, all that it writes must come out equal: a register that is read but not listed, or listed as written
but kept in part, makes them differ.

The condition is always true here, but for the branches of T32 that have one: what a false one does is no matter of the
rows. In an IT block it is "always" as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from armprobe.isa import itstate
from armprobe.isa.insn import CONDITION_FLAGS
from armprobe.isa.rows import Row
from armprobe.isa.usage import FLAG_BITS, Usage
from armprobe.verification.step import CAPACITY, CODE, DATA, STACK, WINDOW, Outcome, State, Stepper

#: Effects that take a row out of this check, each with its reason.
NOT_EXECUTED = {
    "coprocessor": "what a system register does is the processor's own affair",
    "endian": "it changes what later accesses mean, not a register",
    "exception": "it ends in a handler, which is not there",
    "exception_return": "it needs a saved state to return to",
    "it_state": "Unicorn goes on with what it makes conditional",
    "jazelle": "it may leave the instruction set",
    "mode": "it changes which registers there are",
    "privileged": "it reads or writes state outside of Usage",
    "spsr": "it reads or writes state outside of Usage",
    "wait": "it suspends the processor",
}

#: CPSR bits by the names of flags
_CPSR_BITS = {"N": 1 << 31, "Z": 1 << 30, "C": 1 << 29, "V": 1 << 28, "Q": 1 << 27, "GE": 15 << 16}
_CPSR_FLAGS = sum(_CPSR_BITS.values())
#: FPSCR: flags, AHP, DN, FZ, rounding mode
_FPSCR_RANDOM = 0xF7C0_0000


#: findings that are Unicorn's fault: row, problem, reason
UNICORN_IS_WRONG = {
    (
        r"VCMLA_element_[AT]1",
        r"writes (s|word . of d)\d+",
    ): "with D registers it writes the second half of the Q register as well",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A word that does what its row does not say."""

    row: str
    word: int
    problem: str

    def __str__(self) -> str:
        return f"{self.row} 0x{self.word:08x}: {self.problem}"


@dataclass(slots=True)
class Report:
    """What was executed, by row, what Unicorn does not know, by row, and what was found."""

    executed: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def unexplained(self) -> list[Finding]:
        """The findings that are not Unicorn's fault."""
        return [
            finding
            for finding in self.findings
            if not any(
                re.fullmatch(row, finding.row) and re.fullmatch(problem, finding.problem)
                for row, problem in UNICORN_IS_WRONG
            )
        ]


def valid_words(rows: Iterable[Row], count: int, *, seed: int = 1, it: int = 0) -> list[tuple[Row, int]]:
    """Return up to `count` random valid words of each row with the condition "always", each with its row.

    They are valid with the ITSTATE `it`. Rows with an effect out of NOT_EXECUTED are left out. The same seed gives the
    same words.
    """
    cases: list[tuple[Row, int]] = []
    groups: dict[int, list[Row]] = {}
    for row in rows:
        before = groups.setdefault(row.group, []) if row.group else []
        if not row.effects & NOT_EXECUTED.keys():
            cases += [(row, word) for word in _words(row, count, seed, before, it)]
        before.append(row)
    return cases


def check_usage(cases: Sequence[tuple[Row, int]], *, seed: int = 1, states: int = 2, it: int = 0) -> Report:
    """Execute each word from `states` random pairs of states, with the ITSTATE `it`. A seed gives the same states.

    The rows are of one instruction set.
    """
    report = Report()
    for start in range(0, len(cases), CAPACITY):
        chunk = cases[start : start + CAPACITY]
        stepper = Stepper([word for _, word in chunk], chunk[0][0].instruction_set)
        for index, (row, word) in enumerate(chunk):
            rng = Random(f"{seed} {word}")  # noqa: S311  reproducible on purpose
            for _ in range(states):
                problem = _check_case(stepper, index, row, word, rng, it)
                if problem == "":
                    report.executed[row.name] += 1
                elif problem == _UNKNOWN:
                    report.unknown[row.name] += 1
                    break
                elif problem is not None:
                    report.findings.append(Finding(row.name, word, problem))
                    break
    return report


_UNKNOWN = "Unicorn does not know the instruction"


def _words(row: Row, count: int, seed: int, before: Sequence[Row], it: int) -> list[int]:
    """Up to `count` valid words of `row` and none of the rows `before` it, with the condition "always"."""
    rng = Random(f"{seed} {row.name}")  # noqa: S311  reproducible on purpose
    operands = [shift for name, (shift, mask) in row.free_fields.items() if name[0] == "R" and mask == 15]
    words: list[int] = []
    for _ in range(count * 60):
        word = rng.getrandbits(8 * row.length) & ~(row.mask | row.should_mask) | row.value | row.should_value
        if row.conditional:
            word = word & 0x0FFF_FFFF | 0xE000_0000
        for shift in operands:
            if rng.random() < 0.25:  # SP, PC, or the same register as another
                other = word >> rng.choice(operands) & 15
                word = word & ~(15 << shift) | rng.choice((13, 15, other)) << shift
        if row.invalid(word, it) is None and not any(other.matches(word) for other in before):
            words.append(word)
            if len(words) == count:
                break
    return words


def _check_case(stepper: Stepper, index: int, row: Row, word: int, rng: Random, it: int) -> str | None:
    """The problem found; "" if there is none; None if an access missed the memory there is."""
    usage, before = _usage(row, word, it), state_pair(row, word, rng, it=it)
    first, second = (base + 8 * index for base in CODE)
    places = (first, first if usage.reads >> 15 & 1 else second)
    exclusive = "monitor_store" in row.effects and rng.random() < 0.8
    after: list[Outcome] = []
    for state, place in zip(before, places, strict=True):
        outcome = stepper.step(place, state, exclusive=exclusive)
        if outcome == "invalid":
            return _UNKNOWN
        if isinstance(outcome, str):
            return "the address of an access depends on what is not listed as read" if after else None
        if not usage.writes >> 15 & 1 and outcome.pc != place + row.length:
            return f"writes pc: {outcome.pc:#x}"
        after.append(outcome)
    return judge(row, word, before, (after[0], after[1]), it=it)


def _usage(row: Row, word: int, it: int) -> Usage:
    """What `row` says, with the flags that a branch of T32 tests."""
    usage = row.usage(word, it)
    if row.conditional or "cond" not in row.fields:
        return usage
    return usage._replace(flags_read=usage.flags_read | CONDITION_FLAGS[row.extract(word)["cond"]])


def state_pair(row: Row, word: int, rng: Random, *, it: int = 0) -> tuple[State, State]:
    """Two random states that agree in what `row` says `word` reads."""
    usage = _usage(row, word, it)
    first = _random_state(rng, row, word, usage, it)
    return first, _differ(first, rng, row, usage)


def judge(row: Row, word: int, before: tuple[State, State], after: tuple[Outcome, Outcome], *, it: int = 0) -> str:
    """What `word` did, executed from a pair of states, that `row` does not say; "" if nothing."""
    usage = _usage(row, word, it)
    for state, outcome in zip(before, after, strict=True):
        problem = _check_run(state, outcome, usage, row)
        if problem:
            return problem
    return _compare(after[0], after[1], usage, row)


def _random_state(rng: Random, row: Row, word: int, usage: Usage, it: int) -> State:
    core = [_random_value(rng) for _ in range(15)]
    if usage.loads or usage.stores:
        core = [4 * rng.randrange(64) for _ in range(15)]
        base = row.values(word).get("Rn")
        if base is not None and base < 15:
            core[base] = DATA + WINDOW // 2 + 32 * rng.randrange(64)
    if usage.reads >> 13 & 1 or usage.loads or usage.stores:
        core[13] = STACK + WINDOW // 2 + 32 * rng.randrange(64)
    vector = [_random_value(rng) for _ in range(64)]
    if rng.random() < 0.5:  # numbers of one magnitude: of any two others, the sum is mostly the larger one
        vector = [0x3F80_0000 | rng.getrandbits(24) for _ in range(64)]
    cpsr = 0x1D3 | rng.getrandbits(32) & _CPSR_FLAGS | itstate.to_psr(it)
    return State(core, cpsr, rng.getrandbits(32) & _FPSCR_RANDOM, vector)


def _random_value(rng: Random) -> int:
    """A word that is special more often than chance would have it: results depend on zero, on signs, on shifts of 0."""
    return rng.getrandbits(32) if rng.random() < 0.6 else rng.choice((0, 0, 1, 32, 0x8000_0000, 0xFFFF_FFFF))


def _differ(state: State, rng: Random, row: Row, usage: Usage) -> State:
    """Another state that agrees with `state` in all that `usage` says is read."""
    core = [value if usage.reads >> n & 1 else _random_value(rng) for n, value in enumerate(state.core)]
    vector = [value if usage.vector_reads >> n & 1 else _random_value(rng) for n, value in enumerate(state.vector)]
    changed = sum(bits for flag, bits in _CPSR_BITS.items() if not usage.flags_read & FLAG_BITS[flag])
    cpsr = state.cpsr ^ rng.getrandbits(32) & changed
    fpscr = state.fpscr
    if "fpscr_read" not in row.effects:
        fpscr ^= rng.getrandbits(32) & _FPSCR_RANDOM
    return State(core, cpsr, fpscr, vector)


def _check_run(before: State, after: Outcome, usage: Usage, row: Row) -> str:
    """What one run changed that the row does not say, or ""."""
    state = after.state
    for n, value in enumerate(before.core):
        if state.core[n] != value and not usage.writes >> n & 1:
            return f"writes r{n}"
    for n, value in enumerate(before.vector):
        if state.vector[n] != value and not usage.vector_writes >> n & 1:
            return f"writes s{n}" if n < 32 else f"writes word {n & 1} of d{n >> 1}"
    for flag, bits in _CPSR_BITS.items():
        if (state.cpsr ^ before.cpsr) & bits and not usage.flags_written & FLAG_BITS[flag]:
            return f"writes flag {flag}"
    if state.fpscr != before.fpscr and "fpscr_write" not in row.effects:
        return f"writes FPSCR: {before.fpscr:#010x} to {state.fpscr:#010x}"
    # Unicorn's store-exclusive compares and exchanges, which loads
    if after.loads and not usage.loads and "monitor_store" not in row.effects:
        return "loads"
    if after.stores and not usage.stores:
        return "stores"
    if usage.stack is not None and usage.reads >> 13 & 1:
        below = max([0, *(before.core[13] - place for place, _, _ in after.stores if place >= STACK)])
        if below != usage.stack:
            return f"stores {below} bytes below sp, not {usage.stack}"
    return ""


def _compare(first: Outcome, second: Outcome, usage: Usage, row: Row) -> str:
    """What came out different though all that is read was the same, or ""."""
    one, two = first.state, second.state
    for n in range(15):
        if usage.writes >> n & 1 and one.core[n] != two.core[n]:
            return f"r{n} depends on what is not listed as read"
    for n in range(64):
        if usage.vector_writes >> n & 1 and one.vector[n] != two.vector[n]:
            return f"word {n & 1} of d{n >> 1} depends on what is not listed as read"
    for flag, bits in _CPSR_BITS.items():
        if usage.flags_written & FLAG_BITS[flag] and (one.cpsr ^ two.cpsr) & bits:
            return f"flag {flag} depends on what is not listed as read"
    if "fpscr_write" in row.effects and one.fpscr != two.fpscr:
        return "FPSCR depends on what is not listed as read"
    if usage.writes >> 15 & 1 and first.pc != second.pc:
        return "pc depends on what is not listed as read"
    if first.loads != second.loads:
        return "the address of a load depends on what is not listed as read"
    if first.stores != second.stores:
        return "a store depends on what is not listed as read"
    return ""
