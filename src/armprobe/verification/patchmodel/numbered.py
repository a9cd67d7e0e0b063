"""States as integers, and steps as look-ups.

What an operation or a core does depends on few states of single cores: each is computed once and gets a number. A state
is the number of what all share, then those of the cores in ascending order, for cores are alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from armprobe.verification.patchmodel import memory, victim, writer
from armprobe.verification.patchmodel.state import FINISHED, Core, Shared, Violation, begin
from armprobe.verification.patchmodel.vocabulary import Protocol

_BITS = 20
_MASK = (1 << _BITS) - 1
#: what an operation makes of a core that is not ready for it; below this are the numbers of violations
NOT_READY = -1


class Operation:
    """An operation in numbers. `after` is the shared state it leads to."""

    def __init__(self, space: Space, step: writer.Step) -> None:
        self.step = step
        self.after = space.of_shared(step.shared)
        self.otherwise = None if step.otherwise is None else Operation(space, step.otherwise)
        self._space = space
        self._effects: dict[int, int] = {}

    def _effect(self, core: int) -> int:
        found = self._effects.get(core)
        if found is None:
            found = self._space.of_core(writer.apply(self.step.effect, self._space.cores[core]))
            self._effects[core] = found
        return found

    def successors(self, cores: Sequence[int]) -> list[list[int]]:
        """The cores after the operation, in the same order; several where it falls on one core, none where it waits."""
        if not self.step.ready:
            return []
        if self.step.only_one:
            return [[*cores[:i], self._effect(cores[i]), *cores[i + 1 :]] for i in range(len(cores))]
        after = [self._effect(core) for core in cores]
        if NOT_READY not in after:
            return [after]
        if self.otherwise is not None:
            return self.otherwise.successors(cores)
        if self.step.enough is not None and len(cores) - after.count(NOT_READY) >= self.step.enough:
            return [[old if new == NOT_READY else new for old, new in zip(cores, after, strict=True)]]
        return []

    def really_done(self, cores: Sequence[int]) -> Operation:
        """This operation, or the one that takes its place."""
        if self.otherwise is not None and any(self._effect(core) == NOT_READY for core in cores):
            return self.otherwise
        return self


class Space:
    """The states of one protocol with `count` cores, as far as they were met."""

    def __init__(self, protocol: Protocol, count: int, passes: int) -> None:
        self.protocol = protocol
        self.count = count
        self.shared: list[Shared] = []
        self.cores: list[Core] = []
        self._violations: list[Violation] = []
        self._shared_numbers: dict[Shared, int] = {}
        self._core_numbers: dict[Core, int] = {}
        self._core_steps: dict[int, tuple[int, ...]] = {}
        self._completions: dict[int, tuple[int, ...]] = {}
        self._operations: dict[int, Operation | None] = {}
        self._width = _BITS * count
        self._shifts = [_BITS * i for i in range(count)]
        shared, core = begin(protocol, passes)
        self.first = self.pack(self.of_shared(shared), [self.of_core(core)] * count)
        self._all_finished = self.pack(0, [self.of_core(FINISHED)] * count)

    # --- numbers

    def of_shared(self, shared: Shared) -> int:
        number = self._shared_numbers.setdefault(shared, len(self.shared))
        if number == len(self.shared):
            self.shared.append(shared)
        return number

    def of_core(self, core: Core | Violation | None) -> int:
        """A number from 0 for a core, NOT_READY for None, below that for a violation."""
        if core is None:
            return NOT_READY
        if isinstance(core, Violation):
            self._violations.append(core)
            return NOT_READY - len(self._violations)
        number = self._core_numbers.setdefault(core, len(self.cores))
        if number == len(self.cores):
            self.cores.append(core)
        return number

    def violation(self, number: int) -> Violation:
        return self._violations[NOT_READY - number - 1]

    def pack(self, shared: int, cores: Sequence[int]) -> int:
        """The state of these numbers."""
        state = shared
        for core in sorted(cores, reverse=True):
            state = state << _BITS | core
        return state

    def unpack(self, state: int) -> tuple[int, list[int]]:
        """The numbers of a state."""
        return state >> self._width, [state >> shift & _MASK for shift in self._shifts]

    # --- steps

    def operation(self, shared: int) -> Operation | None:
        """The next operation in the shared state; None at the end of the protocol."""
        if shared not in self._operations:
            step = writer.step(self.protocol, self.shared[shared])
            self._operations[shared] = None if step is None else Operation(self, step)
        return self._operations[shared]

    def has_ended(self, state: int) -> bool:
        """Whether the protocol has ended."""
        return self.operation(state >> self._width) is None

    def all_finished(self, state: int) -> bool:
        """Whether all cores have finished."""
        return state & ((1 << self._width) - 1) == self._all_finished

    def successors(self, state: int) -> list[int] | None:
        """Every state after one step; None if a step breaks a rule."""
        shared, cores = self.unpack(state)
        found = [completed << self._width | state & ((1 << self._width) - 1) for completed in self._complete(shared)]
        previous = NOT_READY
        for index, core in enumerate(cores):
            if core == previous:
                continue  # its twin did the same
            previous = core
            key = shared << _BITS | core
            steps = self._core_steps.get(key)
            if steps is None:
                steps = self._core_steps[key] = self._steps_of(shared, core)
            if not steps:
                continue
            if steps[0] < 0:
                return None
            if self.count == 2:
                other = cores[1 - index]
                base = shared << _BITS + _BITS
                for after in steps:
                    found.append(base | (after << _BITS | other if after > other else other << _BITS | after))
            else:
                for after in steps:
                    found.append(self.pack(shared, [*cores[:index], after, *cores[index + 1 :]]))
        operation = self.operation(shared)
        if operation is not None:
            for changed in operation.successors(cores):
                if min(changed) < 0:
                    return None
                found.append(self.pack(operation.really_done(cores).after, changed))
        return found

    def _complete(self, shared: int) -> tuple[int, ...]:
        found = self._completions.get(shared)
        if found is None:
            state = self.shared[shared]
            found = self._completions[shared] = tuple(
                self.of_shared(state._replace(memory=after)) for _, after in memory.cleaned(state.memory)
            )
        return found

    def _steps_of(self, shared: int, core: int) -> tuple[int, ...]:
        """The numbers of what a core may become by itself; violations first."""
        found = victim.steps(self.protocol, self.shared[shared], self.cores[core])
        return tuple(sorted(self.of_core(after) for _, after in found))
