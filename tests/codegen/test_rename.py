import pytest

from armprobe.codegen.actions import Count
from armprobe.codegen.body import Body
from armprobe.codegen.handlers import compile_actions
from armprobe.codegen.rename import rename
from armprobe.isa.decoder import decode


def body_of(*words: int, clobbers: int = 0b11) -> Body:
    return Body(words, len(words), (), (), clobbers, 0, 0)


def test_a_counter_works_in_any_two_registers():
    counter = compile_actions((Count(),))
    renamed = rename(counter, ((0, 12), (1, 7)))
    assert renamed is not None
    assert renamed.clobbers == 1 << 12 | 1 << 7
    assert renamed.relocations == counter.relocations
    for old, new in zip(counter.words, renamed.words, strict=True):
        swap = {0: 12, 1: 7}
        before, after = decode(old), decode(new)
        assert before.row is after.row
        assert {name: swap.get(value, value) if name[0] == "R" else value for name, value in before.fields.items()} == (
            after.fields
        )


@pytest.mark.parametrize(
    "word",
    [
        0xE8900003,  # ldm r0, {r0, r1}
        0xE1C000D0,  # ldrd r0, r1, [r0]
        0xE92D0003,  # push {r0, r1}
    ],
)
def test_registers_that_no_field_names_are_not_renamed(word: int):
    assert rename(body_of(word), ((1, 7),)) is None


def test_a_renaming_that_would_be_unpredictable_is_not_done():
    store = 0xE5A01004  # str r1, [r0, #4]!
    assert rename(body_of(store), ((1, 2),)) is not None
    assert rename(body_of(store), ((1, 0),)) is None


def test_registers_that_are_not_in_the_mapping_stay():
    add = 0xE0812003  # add r2, r1, r3
    renamed = rename(body_of(add, clobbers=0b100), ((2, 12),))
    assert renamed is not None
    assert renamed.words == (0xE081C003,)
