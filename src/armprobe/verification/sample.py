"""A structured sample of instruction words, drawn from the patterns of the rows, and words beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random

from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.isa.rows import Row

SP, PC = 13, 15
#: classes of a register operand: any, SP, PC, equal to another operand of the word
CLASSES = ("any", "sp", "pc", "same")
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
    for row in rows:
        yield from _words(row, per_row, random)
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


def _words(row: Row, count: int, random: Random) -> Iterator[int]:
    free = ~(row.mask | row.should_mask) & row.bits
    if 1 << free.bit_count() <= count:
        yield from _all_words(row, free)
        count //= 8
    names = register_fields(row)
    cells = [(name, kind) for name in names for kind in CLASSES]
    others = [name for name in row.free_fields if name not in names and name != "cond"]
    should_be = [bit for bit in range(32) if row.should_mask >> bit & 1]
    for n in range(count):
        word = _words_of(row, random)
        if row.conditional and n % 4:  # many words are the same whatever the condition, some must be AL
            word = row.with_fields(word, cond=14)
        if cells:
            name, kind = random.choice(cells)
            if kind != "any":
                other = word >> row.fields[random.choice(names)][0] & 15
                word = row.with_fields(word, **{name: {"sp": SP, "pc": PC, "same": other}[kind]})
        if others and n % 8 == 0:  # an empty register list and the like do not come up by chance
            name = random.choice(others)
            word = row.with_fields(word, **{name: random.choice((0, row.fields[name][1]))})
        if should_be and n % 16 == 0:
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
    return {name for name, fields in classes if not any(_takes(other, row, fields) for other in earlier)}


def _takes(other: Row, row: Row, fields: Mapping[str, int]) -> bool:
    """Whether every word of `row` with these fields matches `other`."""
    mask = row.mask
    for name in fields:
        shift, field = row.fields[name]
        mask |= field << shift
    word = row.with_fields(row.value, **fields)
    return not other.mask & ~mask and not (other.value ^ word) & other.mask


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
