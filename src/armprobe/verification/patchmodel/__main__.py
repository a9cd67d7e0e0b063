"""The catalogue of patch protocols, explored in several processes or on a Dask cluster.

`python -m armprobe.verification.patchmodel --help` shows how.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent import futures as local

from armprobe.errors import MissingDependency
from armprobe.verification.patchmodel.catalogue import CATALOGUE
from armprobe.verification.patchmodel.explore import Result, check
from armprobe.verification.patchmodel.trace import describe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if every protocol gets the verdict it must have."""
    parser = argparse.ArgumentParser(prog="python -m armprobe.verification.patchmodel", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="protocols to explore and show (default: all)")
    parser.add_argument("--cores", type=int, default=3, help="cores that pass the site (default: 3)")
    parser.add_argument("--passes", type=int, default=2, help="how often each passes it (default: 2)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a CPU)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="Dask scheduler, whose workers have armprobe installed")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in CATALOGUE]
    if unknown:
        parser.error(f"there is no protocol {unknown[0]!r}; there are {', '.join(CATALOGUE)}")

    started = time.monotonic()
    states = wrong = 0
    names = options.names or list(CATALOGUE)
    if options.scheduler is None:
        results = _check_here(names, options.cores, options.passes, options.jobs)
    else:
        results = _check_on_cluster(names, options.cores, options.passes, options.scheduler)
    for done, (name, result) in enumerate(results, 1):
        states += result.states
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} protocols, {states:,} states, {states / (time.monotonic() - started):,.0f}/s ")
        if not _as_expected(name, result):
            wrong += 1
            sys.stdout.write(f"{name} ({result.protocol.summary}) got another verdict\n{describe(result)}\n")
        elif options.names:
            sys.stdout.write(f"{name}: {result.states:,} states\n{describe(result) if result.run else 'safe'}\n")
    sys.stdout.write(
        f"patch protocols with {options.cores} cores and {options.passes} passes: {states:,} states, {wrong} wrong\n"
    )
    return 1 if wrong else 0


def _check(name: str, cores: int, passes: int) -> Result:
    return check(CATALOGUE[name].protocol, cores=cores, passes=passes)


def _check_here(names: Sequence[str], cores: int, passes: int, jobs: int) -> Iterator[tuple[str, Result]]:
    if jobs == 1:
        yield from ((name, _check(name, cores, passes)) for name in names)
        return
    with local.ProcessPoolExecutor(jobs) as pool:
        futures = {pool.submit(_check, name, cores, passes): name for name in names}
        for future in local.as_completed(futures):
            yield futures[future], future.result()


def _check_on_cluster(names: Sequence[str], cores: int, passes: int, scheduler: str) -> Iterator[tuple[str, Result]]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise MissingDependency("a Dask cluster needs distributed", hint="pip install 'armprobe[cluster]'") from error
    with Client(scheduler) as client:
        futures = {client.submit(_check, name, cores, passes): name for name in names}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _as_expected(name: str, result: Result) -> bool:
    entry = CATALOGUE[name]
    if result.violation is None:
        return not entry.breaks
    return result.violation.invariant == entry.breaks and entry.how in result.violation.text


if __name__ == "__main__":
    # By its own name, which the workers of a cluster can import.
    from armprobe.verification.patchmodel.__main__ import main as imported

    sys.exit(imported())
