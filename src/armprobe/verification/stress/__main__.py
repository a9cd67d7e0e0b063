"""Toggle a hot site between branches and a breakpoint while three processors pass it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from armprobe.verification.stress.run import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if every pass of every processor was as promised."""
    parser = argparse.ArgumentParser(prog="python -m armprobe.verification.stress", description=__doc__)
    parser.add_argument("--toggles", type=int, default=100_000, help="changes of the site (default: 100000)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the delays between them (default: 1)")
    options = parser.parse_args(arguments)
    begin = time.perf_counter()
    outcome = run(options.toggles, seed=options.seed)
    print_line = sys.stdout.write
    print_line(f"{outcome.toggles:,} toggles of one site in {time.perf_counter() - begin:.1f} s\n")
    for number, worker in enumerate(outcome.workers, 1):
        print_line(
            f"processor {number}: {worker.passes:,} passes, {worker.hits:,} hits; promised to hit "
            f"{worker.promised_hit:,}, promised not to {worker.promised_no_hit:,}, neither {worker.unpromised:,}\n"
        )
    running = ", ".join(f"{count:,} with {others}" for others, count in enumerate(outcome.awake))
    print_line(f"processors on their way at a store: {running}\n")
    print_line("".join(f"{problem}\n" for problem in outcome.problems) or "every pass as promised, every hit counted\n")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
