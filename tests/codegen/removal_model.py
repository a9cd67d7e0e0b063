"""A model of tables whose keys can be removed (`armprobe.codegen.map_removal`): each step is one access to memory.

Claims of cells leave the counts in their states alone. `explore` goes through all orders of the steps of some threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from armprobe.codegen.map_layout import CLAIMED, FREE, HOLD, HOLDS, KIND_BITS, LEAVING, MEMBER, TAKE, TRYING

STATE, REACH, KEY, NUMBER = range(4)
#: memory: for each cell the four
Memory = tuple[tuple[int, ...], ...]
#: (what, cell, field, ...): `read`; `write` a value; `cas` an old and a new one; `add`, `max`, `or`; `swap` for a value
Access = tuple[object, ...]
Steps = Generator[Access, int, int | None]
#: what a thread does: (`add`, `put`, `pop` or `read`, key, amount)
Operation = tuple[str, int, int]


@dataclass(frozen=True)
class Table:
    """How many cells there are, where searches for a key begin, and how often an addition begins again."""

    size: int
    home: Callable[[int], int]
    tries: int = 2

    def window(self, key: int, reach: int) -> Iterator[int]:
        return ((self.home(key) + step) % self.size for step in range(reach))

    def hold(self, key: int) -> Steps:
        reach = yield "read", self.home(key), REACH
        for cell in self.window(key, reach):
            while True:
                state = yield "read", cell, STATE
                if not state & MEMBER or (yield "read", cell, KEY) != key:
                    break
                if not (yield "cas", cell, STATE, state, state + HOLD):
                    continue
                if (yield "read", cell, KEY) == key:
                    return cell
                yield from self.let_go(cell)
                break
        return None

    def let_go(self, cell: int, *, removing: bool = False) -> Steps:
        while True:
            state = yield "read", cell, STATE
            wanted = state - HOLD
            if removing and state & KIND_BITS == MEMBER and (yield "read", cell, NUMBER) == 0:
                yield "or", cell, STATE, LEAVING
                continue
            if state & KIND_BITS == LEAVING:
                number = yield "read", cell, NUMBER
                if number:
                    wanted -= LEAVING - MEMBER
                elif not wanted & HOLDS:
                    wanted -= LEAVING
                wanted += TAKE
            if (yield "cas", cell, STATE, state, wanted):
                return None

    def add_key(self, key: int) -> Steps:
        """The cell, held, of a key that was not there; -1 to begin again, None without room."""
        for step, cell in enumerate(self.window(key, self.size), 1):  # noqa: B007
            free = yield "read", cell, STATE
            if free & KIND_BITS == FREE and (yield "cas", cell, STATE, free, free + CLAIMED):
                break
        else:
            return None
        yield "max", self.home(key), REACH, step
        yield "write", cell, KEY, key
        yield "write", cell, STATE, free + TRYING
        reach = yield "read", self.home(key), REACH
        for other in self.window(key, reach):
            while other != cell:
                state = yield "read", other, STATE
                if state & KIND_BITS < TRYING or (yield "read", other, KEY) != key:
                    break
                if state & MEMBER:
                    yield "write", cell, STATE, free
                    return -1
                if (yield "cas", other, STATE, state, state - TRYING + CLAIMED):
                    break
        if (yield "cas", cell, STATE, free + TRYING, free + MEMBER + HOLD):
            return cell
        yield "write", cell, STATE, free
        return -1

    def find_or_add(self, key: int) -> Steps:
        for _ in range(self.tries):
            cell = yield from self.hold(key)
            if cell is None:
                cell = yield from self.add_key(key)
            if cell != -1:
                return cell
        return None

    def operation(self, what: str, key: int, amount: int) -> Steps:
        """What a thread does; -1 where there was no room, the number of `pop` and `read`, else 0."""
        cell = yield from (self.find_or_add(key) if what in ("add", "put") else self.hold(key))
        if cell is None:
            return 0 if what in ("pop", "read") else -1
        result = 0
        if what == "add":
            yield "add", cell, NUMBER, amount
        elif what == "put":
            yield "swap", cell, NUMBER, amount
        elif what == "read":
            result = yield "read", cell, NUMBER
        else:
            result = yield "swap", cell, NUMBER, 0
        yield from self.let_go(cell, removing=what == "pop")
        return result


def apply(memory: Memory, access: Access) -> tuple[Memory, int]:
    """Memory after an access, and what it gives."""
    what, cell, field, *rest = access
    old = memory[cell][field]
    new, result = {
        "read": lambda: (old, old),
        "write": lambda: (rest[0], 0),
        "cas": lambda: (rest[1], 1) if old == rest[0] else (old, 0),
        "add": lambda: (old + rest[0], old),
        "or": lambda: (old | rest[0], old),
        "max": lambda: (max(old, rest[0]), old),
        "swap": lambda: (rest[0], old),
    }[what]()
    changed = (*memory[cell][:field], new, *memory[cell][field + 1 :])
    return (*memory[:cell], changed, *memory[cell + 1 :]), result


def empty(table: Table) -> Memory:
    return ((FREE, 0, -1, 0),) * table.size


def after(table: Table, operations: Sequence[Operation]) -> Memory:
    """Memory once these were done by one thread."""
    memory = empty(table)
    for operation in operations:
        steps, result = table.operation(*operation), 0
        for number in count():
            try:
                access = steps.send(result if number else None)
            except StopIteration:
                break
            memory, result = apply(memory, access)
    return memory


#: (`begin` or `end`, thread, operation) in their order; empty where nobody asks
Log = tuple[tuple[str, int, int], ...]


def explore(
    table: Table,
    memory: Memory,
    threads: Sequence[Sequence[Operation]],
    check: Callable[[Memory], None],
    *,
    logged: bool,
) -> set[tuple[Memory, tuple[tuple[int, ...], ...], Log]]:
    """All ends: memory, what the operations of each thread gave, and in which order they began and ended."""
    # A thread: the operation at hand and where it is in there; what its steps gave, to get there again; its results.
    start = tuple((0, None, (), ()) for _ in threads)
    seen, todo, ends = set(), [(memory, start, ())], set()
    while todo:
        memory, states, log = todo.pop()
        check(memory)
        if all(state[0] == len(operations) for state, operations in zip(states, threads, strict=True)):
            ends.add((memory, tuple(results for *_, results in states), log))
            continue
        for number, (at, _, given, results) in enumerate(states):
            if at == len(threads[number]):
                continue
            steps = table.operation(*threads[number][at])
            for result in (None, *given):
                access = steps.send(result)
            changed, result = apply(memory, access)
            history = log if given or not logged else (*log, ("begin", number, at))
            try:
                steps.send(result)
                state = (at, _position(steps), (*given, result), results)
            except StopIteration as stop:
                state = (at + 1, None, (), (*results, stop.value))
                history = (*history, ("end", number, at)) if logged else ()
            found = changed, (*states[:number], state, *states[number + 1 :]), history
            key = changed, tuple((at, position, results) for at, position, _, results in found[1]), history
            if key not in seen:
                seen.add(key)
                todo.append(found)
    return ends


def _position(steps: Steps) -> tuple[object, ...]:
    """Where an operation stands: in each of its functions the place, and the variables."""
    found: list[object] = []
    inner = steps
    while inner is not None:
        frame = inner.gi_frame
        variables = ((name, value) for name, value in frame.f_locals.items() if isinstance(value, int | str))
        found.append((frame.f_code, frame.f_lasti, *variables))
        inner = inner.gi_yieldfrom
    return tuple(found)
