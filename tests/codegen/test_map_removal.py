"""All orders of the steps of threads that add, replace, take and remove keys, in a model of the protocol."""

from __future__ import annotations

from itertools import permutations

import pytest
from tests.codegen.removal_model import KEY, NUMBER, STATE, Log, Memory, Operation, Table, after, explore

from armprobe.codegen.map_layout import FREE, KIND_BITS, MEMBER, TAKE

#: the searches of all keys begin at the same cell
TWO = Table(2, lambda key: 0)
THREE = Table(3, lambda key: key % 2)


def check(memory: Memory) -> None:
    """What is true at any time."""
    members = [cell[KEY] for cell in memory if cell[STATE] & MEMBER]
    assert len(members) == len(set(members)), f"a key has two cells: {memory}"
    assert all(cell[NUMBER] == 0 for cell in memory if cell[STATE] & KIND_BITS == FREE), (
        f"a free cell has a number: {memory}"
    )


def numbers(memory: Memory) -> dict[int, int]:
    """The keys at the end; each cell is free, or has a key and a number."""
    found = {}
    for cell in memory:
        assert cell[STATE] % TAKE in (FREE, MEMBER), f"a cell is left behind: {memory}"
        if cell[STATE] % TAKE == MEMBER:
            assert cell[NUMBER], f"a cell is kept for nothing: {memory}"
            found[cell[KEY]] = cell[NUMBER]
    return found


def explained(threads, before: dict[int, int], ended: dict[int, int], results, log: Log) -> bool:
    """Whether some order of the operations, one after another, gives the same; what had ended goes first."""
    names = [(thread, at) for thread, operations in enumerate(threads) for at in range(len(operations))]
    place = {event: index for index, event in enumerate(log)}
    for order in permutations(names):
        if log and any(place["end", *later] < place["begin", *earlier]
               for index, earlier in enumerate(order) for later in order[index + 1 :]):  # fmt: skip
            continue
        known = dict(before)
        for thread, at in order:
            what, key, amount = threads[thread][at]
            given = results[thread][at]
            if given == -1:
                continue  # it counts as one without a place
            if what in ("pop", "read") and given != known.get(key, 0):
                break
            if what in ("add", "put"):
                known[key] = amount + (known.get(key, 0) if what == "add" else 0)
            elif what == "pop":
                known.pop(key, None)
        else:
            if known == ended:
                return True
    return False


CASES: list[tuple[Table, list[Operation], list[list[Operation]], set[int]]] = [
    # before; what the threads do; how often an addition may find no room, or begin too often
    (TWO, [], [[("add", 1, 1)], [("add", 1, 2)]], {0, 1, 2}),
    (TWO, [("add", 1, 4)], [[("add", 1, 1)], [("pop", 1, 0)]], {0}),
    (TWO, [("add", 1, 4)], [[("pop", 1, 0)], [("pop", 1, 0)]], {0}),
    (TWO, [("add", 1, 4)], [[("pop", 1, 0), ("add", 3, 8)], [("add", 1, 1)]], {0}),
    (TWO, [("add", 1, 4)], [[("pop", 1, 0), ("add", 3, 8)], [("read", 1, 0)]], {0}),
    (TWO, [("add", 1, 4)], [[("pop", 1, 0), ("put", 1, 8)], [("put", 1, 16)]], {0, 1, 2}),
    (TWO, [("add", 1, 4), ("add", 3, 5)], [[("pop", 1, 0), ("pop", 3, 0)], [("add", 3, 1), ("read", 3, 0)]], {0, 1}),
    (
        THREE,
        [("add", 1, 4), ("add", 3, 5), ("pop", 1, 0)],
        [[("add", 5, 1)], [("pop", 3, 0), ("add", 5, 2)]],
        {0, 1, 2},
    ),
    (TWO, [("add", 1, 4)], [[("add", 1, 1)], [("pop", 1, 0)], [("add", 1, 2)]], {0, 1, 2}),
    (TWO, [("add", 1, 4)], [[("add", 1, 1)], [("pop", 1, 0)], [("pop", 1, 0)]], {0}),
    (TWO, [("add", 1, 4)], [[("pop", 1, 0)], [("add", 3, 8)], [("read", 1, 0)]], {0}),
]


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_order_of_the_steps_keeps_exact_books(case):
    table, first, threads, missing = CASES[case]
    memory = after(table, first)
    before, missed = numbers(memory), set()
    ends = explore(table, memory, threads, check, logged=len(threads) == 2)
    for memory, results, log in ends:
        assert explained(threads, before, numbers(memory), results, log), (memory, results, log)
        missed.add(sum(result == -1 for given in results for result in given))
    assert missed <= missing
