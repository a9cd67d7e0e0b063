"""A structured sample of instruction words, drawn from the patterns of the rows, and words beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from random import Random

from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.isa.rows import Row

SP, PC = 13, 15
#: classes of a register operand: any, SP, PC, equal to another operand of the word
CLASSES = ("any", "sp", "pc", "same")
#: words drawn for a place in the sample until one is not of an earlier row
_TRIES = 40
#: fields that decide about write-back
_WRITE_BACK = ("P", "W")


def register_fields(row: Row) -> tuple[str, ...]:
    """Names of the fields that hold the number of a core register."""
    return tuple(name for name, (_, mask) in row.free_fields.items() if name.startswith("R") and mask == 15)


def sample(rows: Sequence[Row], per_row: int, *, seed: int) -> Iterator[int]:
    """Yield words: `per_row` of each row (all its words, if it has no more), then as many again outside of the rows.

    Of the latter, a tenth of the whole, half are random and half are words of a row with one fixed bit turned. The
    same arguments give the same words.
    """
    random = Random(seed)  # noqa: S311  reproducible on purpose
    groups: dict[int, list[Row]] = {}
    for row in rows:
        earlier = groups.setdefault(row.group, []) if row.group else []
        yield from _words(row, earlier, per_row, random)
        earlier.append(row)
    for n in range(per_row * len(rows) // 10):
        row = random.choice(rows)
        if n % 2:
            yield _of_its_size(row, random.getrandbits(8 * row.length))
        else:
            turned = random.choice([bit for bit in range(32) if row.mask >> bit & 1])
            yield _of_its_size(row, _words_of(row, random) ^ 1 << turned)


def _of_its_size(row: Row, word: int) -> int:
    """`word`, with bits turned where it would be an encoding of the other size than those of the row."""
    if row.instruction_set is InstructionSet.A32 or is_wide(word >> 16 or word) == (row.length == 4):
        return word
    return word | 0xE8000000 if row.length == 4 else word & 0x7FFF


def _words_of(row: Row, random: Random) -> int:
    """One word of the row: every free bit is random, should-be bits are as they should be."""
    free = ~(row.mask | row.should_mask) & row.bits
    word = row.value | row.should_value | random.getrandbits(8 * row.length) & free
    return word & ~(1 << 28) if row.conditional and word >> 28 == 15 else word


def _words(row: Row, earlier: Sequence[Row], count: int, random: Random) -> Iterator[int]:
    """Words of the row, and a few that rows `earlier` in its ordered group take."""
    free = ~(row.mask | row.should_mask) & row.bits
    if 1 << free.bit_count() <= count:
        yield from _all_words(row, free)
        count //= 8
    names = register_fields(row)
    cells = [(name, kind) for name in names for kind in CLASSES]
    others = [name for name in row.free_fields if name not in names and name != "cond"]
    should_be = [bit for bit in range(32) if row.should_mask >> bit & 1]
    # Taken in turn: any part of the words that is taken at an even pace covers all of them.
    index = _write_back(row)
    turns = list(product(cells or [("", "any")], product((0, 1), repeat=len(index))))
    for n in range(count):
        (name, kind), values = turns[n % len(turns)]
        always = row.conditional and random.randrange(4) > 0
        for _ in range(_TRIES):
            word = row.with_fields(_words_of(row, random), **dict(zip(index, values, strict=True)))
            if always:  # many words are the same whatever the condition, some must be AL
                word = row.with_fields(word, cond=14)
            if kind != "any":
                other = word >> row.fields[random.choice([one for one in names if one != name] or names)][0] & 15
                word = row.with_fields(word, **{name: {"sp": SP, "pc": PC, "same": other}[kind]})
            if not any(other.matches(word) for other in earlier):
                break
        if others and random.randrange(8) == 0:  # an empty register list and the like do not come up by chance
            name = random.choice(others)
            word = row.with_fields(word, **{name: random.choice((0, row.fields[name][1]))})
        if should_be and random.randrange(16) == 0:
            word ^= 1 << random.choice(should_be)
        yield word


def _all_words(row: Row, free: int) -> Iterator[int]:
    """Every word of the row that has its should-be bits right."""
    bits = free
    while True:
        word = row.value | row.should_value | bits
        if row.matches(word):
            yield word
        if not bits:
            return
        bits = (bits - 1) & free


def uncovered(rows: Sequence[Row], words_of_rows: Mapping[str, Iterable[int]]) -> list[str]:
    """What the words of a sample, by the row that decodes them, leave out: rows, and classes of register operands.

    A class counts for each combination of write-back (P and W) that the row has.
    """
    missing = []
    for row in rows:
        if row.name not in words_of_rows:
            missing.append(f"{row.name}: no word")
            continue
        wanted = _wanted(row, [other for other in rows if row.group and other.group == row.group])
        for word in words_of_rows[row.name]:
            wanted -= _classes_of(row, word)
            if not wanted:
                break
        missing += [f"{row.name}: {name}" for name in sorted(wanted)]
    return missing


def _wanted(row: Row, group: Sequence[Row]) -> set[str]:
    """The classes that words of the row can be of; an earlier row of its ordered group may take some of them."""
    names = register_fields(row)
    classes: list[tuple[str, dict[str, int]]] = [("any", {})]
    classes += [(f"{name} {kind}", {name: n}) for name in names for kind, n in (("sp", SP), ("pc", PC))]
    if len(names) > 1:
        classes += [(f"{name} same", {}) for name in names]
    for field in _write_back(row):
        classes = [(f"{name} {field}={n}", {**fields, field: n}) for name, fields in classes for n in (0, 1)]
    earlier = group[: group.index(row)] if group else []
    return {name for name, fields in classes if untaken(row, earlier, **fields) is not None}


def untaken(row: Row, earlier: Sequence[Row], **fields: int) -> int | None:
    """A word of `row` with these fields that no row of `earlier` matches; None if there is none."""
    if any(row.mask >> row.fields[name][0] & 1 for name in fields):
        return None
    fixed = row.mask
    for name in fields:
        shift, mask = row.fields[name]
        fixed |= mask << shift

    def search(word: int, fixed: int) -> int | None:
        """`word`, with bits turned that are not `fixed`, so that the row that takes it does not."""
        taking = next((other for other in earlier if other.matches(word)), None)
        if taking is None:
            return word
        for bit in range(28 if row.conditional else 8 * row.length):
            if taking.mask >> bit & 1 and not fixed >> bit & 1:
                found = search(word ^ 1 << bit, fixed | 1 << bit)
                if found is not None:
                    return found
        return None

    always = 0xE0000000 if row.conditional else 0
    return search(row.with_fields(row.value | row.should_value | always, **fields), fixed)


def _write_back(row: Row) -> list[str]:
    return [name for name in _WRITE_BACK if name in row.free_fields]


def _classes_of(row: Row, word: int) -> set[str]:
    fields = row.extract(word)
    names = register_fields(row)
    found = {"any"}
    found |= {f"{name} {kind}" for name in names for kind, n in (("sp", SP), ("pc", PC)) if fields[name] == n}
    found |= {f"{one} same" for one in names for other in names if one != other and fields[one] == fields[other]}
    for field in _write_back(row):
        found = {f"{one} {field}={fields[field]}" for one in found}
    return found
