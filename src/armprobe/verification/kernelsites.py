"""What a live kernel bears: every instruction of its functions as a branch, as a trap, or refused with the reason.

    python -m armprobe.verification.kernelsites --functions 2000
    python -m armprobe.verification.kernelsites --module virtio_net

The guest is Debian's kernel in QEMU, on four processors. Of the sites that are said to take a branch, a sample is
planted, by the thousand, first those in functions that the guest runs through when it works. It works with them: each
must be the branch that it was said to be, and no byte of the code of the kernel and its modules may differ afterwards.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from armprobe.errors import UsageError
from armprobe.probes.explain import Explanation
from armprobe.session import Session, attach_kernel
from armprobe.targets.debian import cache_folder, fetch_guest, modules_for
from armprobe.targets.linux_kernel import KernelTarget
from armprobe.targets.linuxguest import LinuxGuest, start_guest

PROCESSORS, BATCH = 4, 1000
_WORD = 4
_WORK = "for n in 1 2 3 4; do (ls -lR /proc/self /bin; cat /proc/*/maps; usleep 1000) > /dev/null 2>&1 & done; wait"

#: how a site is probed, and why not better
Verdict = tuple[str, str]


@dataclass(slots=True)
class SiteTable:
    """What is said of sites: how many for each verdict, one of each as an example, and those that take a branch."""

    #: where the functions begin
    starts: set[int] = field(default_factory=set)
    counts: Counter[Verdict] = field(default_factory=Counter)
    examples: dict[Verdict, Explanation] = field(default_factory=dict)
    branches: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Planted:
    """A sample that was planted. `wrong` are sites that were no branch; `damage` are bytes that differed afterwards."""

    sites: int
    executed: int
    hits: int
    wrong: tuple[int, ...]
    damage: int


def classify(session: Session, functions: Iterable[tuple[int, int]]) -> SiteTable:
    """Look at every word of the functions, given as [start, end)."""
    table = SiteTable()
    for start, end in functions:
        table.starts.add(start)
        for address in range(start, end, _WORD):
            explanation = session.explain(address)
            verdict = _verdict(explanation)
            table.counts[verdict] += 1
            table.examples.setdefault(verdict, explanation)
            if verdict[0] == "branch":
                table.branches.append(address)
    return table


def sample_functions(
    session: Session, number: int | None, *, seed: int, module: str | None = None
) -> list[tuple[int, int]]:
    """Choose functions of the kernel, or of one of its modules, by chance: where they begin and end, ascending.

    None: all of them.
    """
    code = _target(session).text
    known = session.symbols.matching("*" if module is None else f"{module}:*")
    starts = {symbol.address for symbol in known if module is not None or code.start <= symbol.address < code.end}
    bounds = [bounds for start in sorted(starts) if (bounds := session.symbols.function_bounds(start)) is not None]
    if number is None or number >= len(bounds):
        return bounds
    return sorted(random.Random(seed).sample(bounds, number))  # noqa: S311


def plant(session: Session, guest: LinuxGuest, table: SiteTable, number: int, *, seed: int) -> Planted:
    """Plant a sample of sites, let the guest work, and remove them again."""
    before = _code(session)
    hot = {start for start, hits in _work_with(session, guest, sorted(table.starts & set(table.branches))) if hits}
    chance = random.Random(seed)  # noqa: S311
    sites = chance.sample(table.branches, len(table.branches))
    first = [site for site in sites if _start_of(session, site) in hot]
    chosen = list(dict.fromkeys([*first, *sites]))[:number]
    wrong: list[int] = []
    executed = hits = 0
    for start in range(0, len(chosen), BATCH):
        counts = dict(_work_with(session, guest, chosen[start : start + BATCH], wrong))
        hits += sum(counts.values())
        executed += sum(count > 0 for count in counts.values())
    damage = sum(a != b for a, b in zip(before, _code(session), strict=True))
    return Planted(len(chosen), executed, hits, tuple(wrong), damage)


def _work_with(
    session: Session, guest: LinuxGuest, places: Sequence[int], wrong: list[int] | None = None
) -> list[tuple[int, int]]:
    """Let the guest work with counters at these places; return their hits. `wrong` gets those that were no branch."""
    probes = session.count_all(places)
    session.optimize_now()
    if wrong is not None:
        wrong += [probe.address for probe in probes if probe.state != "branch"]
    guest.start(_WORK, when_ended=session.stop)
    session.run()
    guest.finish()
    counts = [(probe.address, probe.hits) for probe in probes]
    session.unregister_all(probes)
    return counts


def _start_of(session: Session, address: int) -> int | None:
    bounds = session.symbols.function_bounds(address)
    return None if bounds is None else bounds[0]


def report(table: SiteTable, planted: Planted) -> list[str]:
    """The table as lines of text."""
    total = table.counts.total()
    lines = [f"{total:,} sites in {len(table.starts):,} functions", f"{'sites':>9} {'':7}  probed as"]
    for verdict, count in sorted(table.counts.items(), key=lambda item: (item[0][0], -item[1])):
        way, reason = verdict
        example = table.examples[verdict]
        lines.append(f"{count:9,} {count / total:7.2%}  {f'{way}: {reason}' if reason else way}")
        if reason:
            word = int.from_bytes(example.original[:_WORD], "little")
            lines.append(f"{'':19}such as {example.symbol} ({word:08x})")
    lines.append(
        f"{planted.sites:,} of those that take a branch planted: {len(planted.wrong)} were none, {planted.executed:,} "
        f"were executed, {planted.hits:,} times; {planted.damage or 'no'} bytes of the kernel's code differ afterwards"
    )
    lines += [f"not a branch: 0x{address:08x}" for address in planted.wrong]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table. Status 1 when a sample was not what was said of it."""
    parser = argparse.ArgumentParser(prog="python -m armprobe.verification.kernelsites", description=__doc__)
    parser.add_argument("--module", metavar="NAME", help="those of a module, and of no device of it")
    parser.add_argument("--functions", type=int, help="how many, chosen by chance (default: 2000, of a module all)")
    parser.add_argument("--planted", type=int, default=5000, help="how many sites are planted")
    parser.add_argument("--seed", type=int, default=1, help="chooses them")
    options = parser.parse_args(arguments)
    kernel, busybox = fetch_guest(cache_folder())
    try:
        modules = {} if options.module is None else modules_for(kernel, options.module)
    except UsageError as error:
        parser.error(f"{error.message}; {error.hint}")
    number = options.functions or (2000 if options.module is None else None)
    module = next(reversed(modules), None)
    files = {f"modules/{name}.ko": content for name, content in modules.items()}
    with start_guest(kernel, busybox, programs=files, processors=PROCESSORS) as guest:
        for name in modules:
            guest.execute(f"insmod /modules/{name}.ko")
        with attach_kernel(guest.address) as session:
            functions = sample_functions(session, number, seed=options.seed, module=module)
            table = classify(session, functions)
            planted = plant(session, guest, table, options.planted, seed=options.seed)
        status = guest.power_off()
    sys.stdout.write("\n".join(report(table, planted)) + "\n")
    return int(bool(planted.wrong or planted.damage or status))


def _verdict(explanation: Explanation) -> Verdict:
    if explanation.refused:
        return "refused", _general(explanation.refused, explanation.symbol)
    return explanation.state, _general(explanation.reason, explanation.symbol)


def _general(reason: str, symbol: str) -> str:
    """A reason without what belongs to one site alone."""
    text = reason.removeprefix(f"no probe at {symbol}: ").removeprefix(f"{symbol} ")
    text = re.sub(r"0x[0-9a-f]+ \((\w+)\) at 0x[0-9a-f]+", r"\1", text)
    return re.sub(r"(?<=exclusive at )(?:[^\s:]+:)?[^\s:]+|\b0x[0-9a-f]+\b", "...", text)


def _target(session: Session) -> KernelTarget:
    assert isinstance(session.target, KernelTarget)
    return session.target


def _code(session: Session) -> bytes:
    """That of the kernel, and of its modules."""
    text = _target(session).text
    parts = [(text.start, text.end), *((part.start, part.end) for part in session.symbols.objects)]
    return b"".join(session.target.read_memory(start, end - start) for start, end in parts)


if __name__ == "__main__":
    sys.exit(main())
