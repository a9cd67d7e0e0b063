"""The proof of relocation: cases from the production table, each executed where it stands and as its copy.

`python -m armprobe.verification.sweep --cases 10000000 --jobs 2` runs many; `--case N` repeats one and shows it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context

from armprobe.errors import Refused
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.relocate import relocate
from armprobe.verification.cases import make_case
from armprobe.verification.compare import Comparison, Relocate
from armprobe.verification.ledger import Ledger, is_excluded
from armprobe.verification.report import describe

#: After so many failures a sweep has said what it has to say.
ENOUGH = 10
_CHUNK = 10_000
_ADDRESS = re.compile(r"0x[0-9a-f]{8}")


@dataclass(slots=True)
class Result:
    """The ledger of a sweep, and the reports of the cases that differ (the first ENOUGH of a chunk)."""

    ledger: Ledger
    failures: list[str] = field(default_factory=list)


def sweep(
    seed: int,
    numbers: Iterable[int],
    instruction_set: InstructionSet = InstructionSet.A32,
    *,
    relocate: Relocate = relocate,
) -> Result:
    """Run the cases with these numbers in this process. Stops early after ENOUGH failures."""
    comparison, result = Comparison(relocate=relocate), Result(Ledger(instruction_set))
    for number in numbers:
        case = make_case(seed, number, instruction_set)
        row = result.ledger.row(case.row.name)
        if case.insn is None:
            row.no_word_conditions[case.cond] += 1
            row.no_word_cells[case.cell] += 1
            continue
        row.conditions[case.cond] += 1
        row.cells[case.cell] += 1
        try:
            outcome = comparison.run(case)
        except Refused as refused:
            row.refused[_ADDRESS.sub("an address", refused.message.partition(": ")[2])] += 1
            continue
        if outcome.differences:
            # After certain T32 code Unicorn 2.1.4 executes an undefined instruction without calling hooks. What is a
            # difference differs in fresh processors too.
            comparison = Comparison(relocate=relocate)
            outcome = comparison.run(case)
            row.unrepeated += not outcome.differences
        if outcome.differences and Comparison(relocate=relocate).reads_itself(case):
            row.own_word += 1
            continue
        row.verbatim += outcome.copy.verbatim
        row.rewritten += not outcome.copy.verbatim
        row.completed += outcome.completed
        row.undefined += outcome.undefined
        row.differed += bool(outcome.differences)
        if outcome.differences and not is_excluded(case.row):
            result.failures.append(describe(case, outcome))
            if len(result.failures) == ENOUGH:
                break
    return result


def sweep_in_processes(
    seed: int,
    cases: int,
    instruction_set: InstructionSet = InstructionSet.A32,
    *,
    jobs: int,
    progress: Callable[[int], object] = lambda _done: None,
) -> Result:
    """Run the cases 0 to `cases` - 1 in `jobs` processes; `progress` gets the number done so far."""
    total, done = Result(Ledger(instruction_set)), 0
    chunks = [range(start, min(start + _CHUNK, cases)) for start in range(0, cases, _CHUNK)]
    # A process that already has threads must not be forked.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for chunk, result in zip(chunks, pool.map(sweep, repeat(seed), chunks, repeat(instruction_set)), strict=True):
            total.ledger.merge(result.ledger)
            total.failures += result.failures
            done += len(chunk)
            progress(done)
            if len(total.failures) >= ENOUGH:
                pool.shutdown(cancel_futures=True)
                break
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if nothing differs and nothing was left out."""
    parser = argparse.ArgumentParser(prog="python -m armprobe.verification.sweep", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="starts the sequence of cases (default: 1)")
    parser.add_argument("--cases", type=int, default=200_000, help="how many to run (default: 200000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a CPU)")
    parser.add_argument("--case", type=int, metavar="N", help="run case N alone and show it")
    parser.add_argument("--isa", choices=["a32", "t32"], default="a32", help="instruction set (default: a32)")
    options = parser.parse_args(arguments)
    instruction_set = InstructionSet(options.isa.upper())
    if options.case is not None:
        return _show(options.seed, options.case, instruction_set)

    started = time.monotonic()

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            rate = done / (time.monotonic() - started)
            sys.stderr.write(f"\r{done} of {options.cases} cases, {rate:.0f} a second")

    result = sweep_in_processes(options.seed, options.cases, instruction_set, jobs=options.jobs, progress=progress)
    problems = result.ledger.problems()
    sys.stdout.write("\n\n".join([*result.failures, "\n".join([result.ledger.summary(), *problems])]) + "\n")
    return 1 if result.failures or problems else 0


def _show(seed: int, number: int, instruction_set: InstructionSet) -> int:
    case = make_case(seed, number, instruction_set)
    if case.insn is None:
        sys.stdout.write(f"case {number} of seed {seed} found no valid word of {case.row.name} for {case.cell}\n")
        return 0
    try:
        outcome = Comparison().run(case)
    except Refused as refused:
        sys.stdout.write(f"case {number} of seed {seed}: {refused}\n")
        return 0
    sys.stdout.write(describe(case, outcome) + "\n")
    return 1 if outcome.differences else 0


if __name__ == "__main__":
    sys.exit(main())
