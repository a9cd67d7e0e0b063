"""Where arguments are at the entry of a function, case by case of the procedure call standard (AAPCS32 6.4, 6.5)."""

from __future__ import annotations

import pytest

from armprobe.symbols.arguments import argument_places, result_place
from armprobe.symbols.places import InMemory, InWord, Place, RegisterWord, offset_from
from armprobe.symbols.types import Array, Integer, Member, Opaque, Structure, Type, pointer_to

INT, WIDE, BYTE = Integer("int", 4, True), Integer("long long", 8, True), Integer("unsigned char", 1, False)
FLOAT, DOUBLE = (Opaque(name, size, "a floating-point number") for name, size in (("float", 4), ("double", 8)))
VOID = Opaque("void", 0, "void")


def structure(*kinds: Type) -> Structure:
    offsets = [sum(kind.size for kind in kinds[:index]) for index in range(len(kinds))]
    members = tuple(Member(f"m{offset}", kind, offset) for kind, offset in zip(kinds, offsets, strict=True))
    return Structure("struct s", sum(kind.size for kind in kinds), lambda: members)


def shown(place: Place) -> str:
    """`r2 r3`, `r3 [4]` (and four bytes on the stack), `[8]`, or the reason."""
    if place.reason:
        return place.reason
    words = []
    for size, where in place.parts:
        if isinstance(where, InMemory):
            offset = offset_from(where.address, "sp")
            words.append(f"[{offset}" + (f"+{size}]" if len(place.parts) > 1 else "]"))
        else:
            assert isinstance(where, InWord)
            assert isinstance(where.word, RegisterWord)
            words.append(where.word.name)
    return " ".join(words)


UNKNOWN = "behind an argument of type struct s, whose place types alone do not tell"
VECTOR = "in a floating-point register"


@pytest.mark.parametrize(
    ("kinds", "result", "hard", "expected"),
    [
        ([INT, BYTE, pointer_to(INT), INT, INT, BYTE], VOID, False, ["r0", "r1", "r2", "r3", "[0]", "[4]"]),
        ([INT, WIDE, INT], VOID, False, ["r0", "r2 r3", "[0]"]),
        ([INT, INT, INT, WIDE, INT], VOID, False, ["r0", "r1", "r2", "[0]", "[8]"]),
        ([INT, INT, INT, INT, INT, WIDE], VOID, False, ["r0", "r1", "r2", "r3", "[0]", "[8]"]),
        ([structure(INT, INT), structure(INT, INT, INT)], VOID, False, ["r0 r1", "r2 r3 [0+4]"]),
        ([structure(INT, INT)] * 3, structure(INT, INT), False, ["r1 r2", "r3 [0+4]", "[4]"]),
        ([structure(BYTE, BYTE, BYTE), INT], structure(BYTE), False, ["r0", "r1"]),
        ([structure(Array(lambda: INT, 5)), INT], VOID, False, ["r0 r1 r2 r3 [0+4]", "[4]"]),
        ([INT, structure(WIDE), INT], VOID, False, ["r0", UNKNOWN, UNKNOWN]),
        ([FLOAT, DOUBLE, INT], VOID, False, ["r0", "r2 r3", "[0]"]),
        ([FLOAT, INT, DOUBLE, INT], VOID, True, [VECTOR, "r0", VECTOR, "r1"]),
        ([INT, structure(FLOAT, FLOAT), INT], VOID, True, ["r0", UNKNOWN, UNKNOWN]),
    ],
)
def test_arguments_are_in_registers_and_then_on_the_stack(kinds, result, hard, expected):
    assert [shown(place) for place in argument_places(kinds, result, hard_float=hard)] == expected


def test_a_variadic_function_takes_floating_point_numbers_like_others():
    assert [shown(place) for place in argument_places([FLOAT, INT], VOID, hard_float=True, variadic=True)] == [
        "r0",
        "r1",
    ]


@pytest.mark.parametrize(
    ("kind", "hard", "expected"),
    [
        (INT, False, "r0"),
        (WIDE, True, "r0 r1"),
        (DOUBLE, False, "r0 r1"),
        (FLOAT, True, VECTOR),
        (structure(BYTE, BYTE), False, "r0"),
        (structure(INT, INT), False, "in memory, at an address that is not known any more"),
        (VOID, False, "void: the function returns nothing"),
    ],
)
def test_a_result_is_in_registers_unless_it_is_a_large_structure(kind, hard, expected):
    assert shown(result_place(kind, hard_float=hard)) == expected
