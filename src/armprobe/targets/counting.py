"""The emulator's own count of executed instructions: an opinion that owes nothing to the rest of armprobe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from armprobe.targets.machine import page_ranges
from armprobe.targets.unicorn import UnicornTarget

_HOOK_CODE = 4  # UC_HOOK_CODE


@contextmanager
def count_executions(target: UnicornTarget, addresses: Iterable[int]) -> Iterator[Counter[int]]:
    """Count how often the A32 instructions at `addresses` are reached within the block; every address has an entry.

    An instruction whose condition is false counts as well. Costs about 0.5 microseconds for each instruction counted.
    """
    counts: Counter[int] = Counter(dict.fromkeys(addresses, 0))

    def on_code(_uc: object, address: int, _size: int, _data: object) -> None:
        if address in counts:
            counts[address] += 1

    ranges = page_ranges(((address, address + 4) for address in counts), unit=4)
    hooks = [target.engine.hook_add(_HOOK_CODE, on_code, begin=start, end=end - 1) for start, end in ranges]
    # A hook is compiled into the code: what was translated before knows nothing of it.
    target.code_sync.synchronize(ranges)
    try:
        yield counts
    finally:
        for hook in hooks:
            target.engine.hook_del(hook)
        target.code_sync.synchronize(ranges)
