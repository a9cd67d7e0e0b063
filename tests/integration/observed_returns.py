"""What the emulator itself says about calls and returns, for tests of return probes: it knows nothing of armprobe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from unicorn import arm_const

from armprobe.targets.unicorn import UnicornTarget

_HOOK_CODE = 4  # UC_HOOK_CODE
#: r0 to lr in order, and cpsr
_REGISTERS = [*(getattr(arm_const, f"UC_ARM_REG_R{number}") for number in range(15)), arm_const.UC_ARM_REG_CPSR]


class Returns:
    """Calls and returns seen: `calls` and `frames` by function; a frame is r0 to pc, and cpsr, back at the caller.

    A function that jumps to its own first instruction, with the LR and SP of the call, goes on with that call.
    `order` names the functions in the order in which they returned.
    """

    def __init__(self) -> None:
        self.calls: defaultdict[int, int] = defaultdict(int)
        self.frames: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)
        self.order: list[int] = []
        self.pending: defaultdict[tuple[int, int], list[int]] = defaultdict(list)

    def active(self, function: int) -> int:
        """Calls that did not come back, as far as the same call was not made again since."""
        return sum(functions.count(function) for functions in self.pending.values())


@contextmanager
def observed_returns(target: UnicornTarget, start: int, end: int, functions: Collection[int]) -> Iterator[Returns]:
    """Watch all code in [start, end). A call returns when control is where LR pointed, with SP as it was."""
    seen = Returns()

    def on_code(engine, address, _size, _data):
        registers = engine.reg_read_batch(_REGISTERS)
        sp, lr = registers[13], registers[14]
        if seen.pending.get((address, sp)):
            for function in reversed(seen.pending.pop((address, sp))):
                seen.frames[function].append((*registers[:15], address, registers[15]))
                seen.order.append(function)
        if address in functions and address not in seen.pending[lr & ~1, sp]:
            seen.calls[address] += 1
            seen.pending[lr & ~1, sp].append(address)

    hook = target.engine.hook_add(_HOOK_CODE, on_code, begin=start, end=end - 1)
    target.code_sync.synchronize([(start, end)])
    try:
        yield seen
    finally:
        target.engine.hook_del(hook)
        target.code_sync.synchronize([(start, end)])
