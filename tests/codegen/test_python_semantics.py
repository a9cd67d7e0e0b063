"""What handlers written in Python compute: the compiled code, the host and a model, held together."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codegen.python_functions import BYTES, MAPS, OPEN, READ, TEXT, BothSides, Condition, define
from tests.codegen.python_model import ModelFault, numbers, truths
from tests.codegen.test_handlers import state

from armprobe.codegen.helpers import HELPERS, as_s8, as_u64, emit, log2, u8
from armprobe.codegen.map_layout import MapKind, MapShape
from armprobe.errors import UsageError
from armprobe.probes.maps import Map

INTERESTING = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFF80]
PARAMETERS = "hit, r0, r1, r3, r4, lr, sp"


@pytest.mark.slow
@given(
    expressions=st.lists(st.one_of(numbers(), truths(2)), min_size=1, max_size=4),
    seed=st.integers(0, 1 << 16),
    architecture=st.sampled_from([4, 5, 7]),
)
@settings(max_examples=150, deadline=None)
def test_expressions_are_the_same_in_the_target_on_the_host_and_in_the_model(expressions, seed, architecture):
    fields = ", ".join(f"v{number}={expression}" for number, expression in enumerate(expressions))
    both = BothSides(define(f"def handler({PARAMETERS}):\n    emit({fields})\n"), architecture=architecture)
    generator = random.Random(seed)
    for _ in range(6):
        registers = state(generator.getrandbits(32))
        registers |= {name: generator.choice(INTERESTING) for name in ("r0", "r1", "r3") if generator.random() < 0.7}
        expected = {}
        for number, expression in enumerate(expressions):
            try:
                expected[f"v{number}"] = int(expression.value(registers))
            except ModelFault:
                expected[f"v{number}"] = None
        message = f"emit({fields}) with {registers}, architecture {architecture}"
        assert both.target(registers) == ([expected], False), message
        assert both.host(registers) == ([expected], False), message


@pytest.mark.slow
@given(
    expression=st.one_of(numbers(3), truths(2)).filter(lambda expression: "hit.probe" not in expression.text),
    seed=st.integers(0, 1 << 16),
    architecture=st.sampled_from([4, 5, 7]),
)
@settings(max_examples=60, deadline=None)
def test_conditions_hold_in_the_target_on_the_host_and_in_the_model(expression, seed, architecture):
    condition = Condition(define(f"f = lambda {PARAMETERS}: {expression}\n"), architecture=architecture)
    generator = random.Random(seed)
    for _ in range(6):
        registers = state(generator.getrandbits(32))
        registers |= {name: generator.choice(INTERESTING) for name in ("r0", "r1", "r3") if generator.random() < 0.7}
        try:
            expected = bool(expression.value(registers))
        except ModelFault:
            expected = False
        message = f"{expression} with {registers}, architecture {architecture}"
        assert (condition.target(registers), condition.host(registers)) == (expected, expected), message


@pytest.mark.parametrize(
    ("source", "r0", "expected"),
    [
        ("f = lambda r0: r0 > 4096\n", 4097, True),
        ("f = lambda r0: r0 > 4096\n", 4096, False),
        ("f = lambda r0: r0\n", 0, False),
        ("f = lambda r0: r0 and r0 & 1\n", 3, True),
        ("f = lambda hit: hit.regs.r0 == LIMIT\n", 7, True),
        ("f = lambda r0: u8(r0) == 0x81\n", READ, True),
        ("f = lambda r0: not u8(r0)\n", 0, False),  # what can't be read holds nothing
        (
            (
                "def half(x):\n    return x >> 1\n"
                "def f(r0):\n    if half(r0) == 3:\n        return True\n    return r0 == 9\n"
            ),
            7,
            1,
        ),
        ("a, f = (lambda r0: r0 > 1), (lambda r0: r0 < 1)\n", 0, True),
    ],
)
def test_what_a_condition_means(source, r0, expected):
    condition = Condition(define(source, LIMIT=7))
    assert (condition.target(state(r0=r0)), condition.host(state(r0=r0))) == (expected, expected)


def run(source: str, *, architecture: int = 7, **registers: int):
    """Run a handler on both sides, which must agree; return its records and whether it faulted."""
    both = BothSides(define(source), architecture=architecture)
    registers = state(1) | registers
    result = both.target(registers)
    assert both.host(registers) == result
    return result


@pytest.mark.parametrize(
    ("expression", "r0", "expected"),
    [
        ("r0 + 1", 0xFFFFFFFF, 0),
        ("r0 - 1", 0, 0xFFFFFFFF),
        ("-r0", 1, 0xFFFFFFFF),
        ("~r0", 0, 0xFFFFFFFF),
        ("r0 & ~3", 7, 4),
        ("as_u64(r0) + 1", 0xFFFFFFFF, 0x100000000),
        ("as_s32(r0) // 2", 0xFFFFFFFD, -2),
        ("as_s32(r0) % 10", 0xFFFFFFFD, 7),
        ("as_s64(r0) - 1", 0, -1),
        ("as_s8(r0)", 0x180, -128),
        ("as_u8(r0)", 0x180, 0x80),
        ("as_u64(as_s32(r0))", 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF),
        ("as_u32(r0 > 5)", 6, 1),
        ("r0 << 32 - 1", 3, 0x80000000),
        ("r0 << r0", 32, 0),
        ("r0 >> r0", 33, 0),
        ("as_s32(r0) >> as_u32(100)", 0x80000000, -1),
        ("1 << r0", 31, 0x80000000),
        ("r0 << as_u32(32)", 3, 0),
        ("r0 >> as_u64(32)", 3, 0),
        ("as_s32(r0) >> as_u32(32)", 0x80000000, -1),
        ("as_u64(r0) << as_u32(64)", 3, 0),
        ("as_s64(as_s32(r0)) >> as_u64(64)", 0x80000000, -1),
        ("as_s64(1) + as_s32(r0)", 0xFFFFFFFF, 0),
        ("as_s64(1) + r0", 0xFFFFFFFF, 0x100000000),
        ("r0 + as_u64(1)", 0xFFFFFFFF, 0x100000000),
        ("max(as_s32(r0), as_s64(-5))", 0xFFFFFFFF, -1),
        ("as_s32(r0) < as_s64(-5)", 0xFFFFFFF0, 1),
        ("log2(r0)", 0, 0),
        ("log2(r0)", 1, 0),
        ("log2(r0)", 0xFFFFFFFF, 31),
        ("log2(as_u64(r0) << 32)", 1, 32),
        ("min(r0, 7, 9)", 8, 7),
        ("max(r0, 7, 9)", 8, 9),
        ("2 ** 20 + r0", 1, 0x100001),
        ("-1 if r0 else 1", 1, -1),
        ("1 if r0 and 3 < r0 <= 5 else 0", 5, 1),
        ("r0 == 5", 5, 1),
        ("not r0", 5, 0),
    ],
)
@pytest.mark.parametrize("architecture", [4, 7])
def test_what_an_expression_means(expression, r0, expected, architecture):
    source = f"def handler(r0):\n    emit(value={expression})\n"
    assert run(source, architecture=architecture, r0=r0) == ([{"value": expected}], False)


@pytest.mark.parametrize(
    ("body", "r0", "expected"),
    [
        ("total = 0\nfor i in range(4):\n    total += i * r0\nemit(v=total)", 2, [12]),
        ("for i in range(10, 0, -3):\n    emit(v=i)", 0, [10, 7, 4, 1]),
        ("for i in range(-2, 2):\n    emit(v=i)", 0, [-2, -1, 0, 1]),
        ("for i in range(1 << 33, -2, -(1 << 32)):\n    emit(v=i)", 0, [1 << 33, 1 << 32, 0]),
        ("for i in range(-1, 1 << 32, 1 << 31):\n    emit(v=i)", 0, [-1, (1 << 31) - 1, (1 << 32) - 1]),
        ("for i in range(0):\n    emit(v=i)", 0, []),
        ("for i in range(9):\n    if i == r0:\n        break\n    if i & 1:\n        continue\n    emit(v=i)", 6,
         [0, 2, 4]),
        ("for i in range(2):\n    for j in range(2):\n        if j == 1:\n            break\n        emit(v=9 * i + j)",
         1, [0, 9]),
        ("for i in range(3):\n    i += 5\n    emit(v=i)", 0, [5, 6, 7]),
        ("if r0 > 5:\n    return\nemit(v=r0)", 6, []),
        ("if r0 > 5:\n    return\nemit(v=r0)", 5, [5]),
        ("if r0 > 5:\n    x = 1\nelif r0 > 3:\n    x = 2\nelse:\n    x = 3\nemit(v=x)", 4, [2]),
        ("r0 += 1\nr0 *= 2\nr0 //= 3\nemit(v=r0)", 5, [4]),
        ("x = as_s32(r0)\nx = -5\nemit(v=x)", 0, [-5]),
        ("ok = r0 > 3\nif ok and True:\n    emit(v=1)\npass", 4, [1]),
    ],
)  # fmt: skip
def test_what_statements_do(body, r0, expected):
    source = "def handler(r0):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    assert run(source, r0=r0) == ([{"v": value} for value in expected], False)


def test_functions_are_inlined_with_variables_of_their_own():
    source = (
        "def clamp(x, most):\n    if x > most:\n        return most\n    return x\n"
        "def note(x):\n    y = x + 1\n    emit(v=y)\n    if x == 7:\n        return\n    emit(v=0)\n"
        "def handler(r0):\n    y = 3\n    note(clamp(r0, 7))\n    emit(v=clamp(clamp(r0, 9), y))\n"
    )
    assert run(source, r0=100) == ([{"v": 8}, {"v": 3}], False)
    assert run(source, r0=1) == ([{"v": 2}, {"v": 0}, {"v": 1}], False)


def test_numbers_of_closures_modules_and_enumerations_are_constants():
    from enum import IntEnum
    from signal import SIGKILL

    class Color(IntEnum):
        RED = 5

    both = BothSides(
        define(
            "def handler(r0):\n    emit(a=LIMIT + r0, b=Color.RED, c=SIGKILL)\n", LIMIT=9, Color=Color, SIGKILL=SIGKILL
        )
    )
    assert both.target(state(r0=1)) == both.host(state(r0=1)) == ([{"a": 10, "b": 5, "c": 9}], False)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("architecture", [4, 7])
def test_a_read_outside_of_the_memory_is_a_fault_to_the_byte(size, architecture):
    source = f"def handler(r0):\n    emit(v=u{8 * size}(r0), w=r0)\n"
    both = BothSides(define(source), architecture=architecture)
    inside = [READ, READ + 1, READ + 64 - size]
    outside = [READ - 1, READ + 64 - size + 1, READ + 64, 0, 0xFFFFFFFF, 0xFFFFFFFC, READ - size]
    for address in (*inside, *outside):
        (record,), faulted = both.target(state(r0=address))
        assert ([record], faulted) == both.host(state(r0=address))
        assert (record["v"] is None, record["w"], faulted) == (address in outside, address, False), hex(address)


def test_a_fault_ends_the_handler_but_in_a_field_of_a_record():
    source = "def handler(r0):\n    emit(v=1)\n    x = u8(r0)\n    emit(v=x)\n"
    assert run(source, r0=0) == ([{"v": 1}], True)
    assert run(source, r0=READ) == ([{"v": 1}, {"v": 0x81}], False)
    inlined = (
        "def get(a):\n    return u8(a)\ndef handler(r0):\n    emit(v=get(r0), w=get(r0 + 1))\n    emit(v=2, w=3)\n"
    )
    assert run(inlined, r0=READ - 1) == ([{"v": None, "w": 0x81}, {"v": 2, "w": 3}], False)


@pytest.mark.parametrize(
    ("expression", "r0", "expected"),
    [
        ('string(r0) == "eth0"', TEXT, 1),
        ('"eth0" == string(r0)', TEXT, 1),
        ('string(r0) == "eth"', TEXT, 0),
        ('string(r0) == "eth01"', TEXT, 0),
        ('string(r0) == ""', TEXT + 4, 1),
        ('string(r0) == ""', TEXT, 0),
        ('string(r0) != "eth1"', TEXT, 1),
        ('string(r0) != "eth0"', TEXT, 0),
        ("string(r0) == NAME", TEXT, 1),
        ('string(r0).startswith("et")', TEXT, 1),
        ('string(r0).startswith("eth0")', TEXT, 1),
        ('string(r0).startswith("eth00")', TEXT, 0),
        ('string(r0).startswith("")', TEXT, 1),
        ('string(r0).startswith("th")', TEXT, 0),
        ('string(r0).endswith("h0")', TEXT, 1),
        ('string(r0).endswith("h")', TEXT, 0),
        ('string(r0).endswith("xeth0")', TEXT, 0),
        ('"th" in string(r0)', TEXT, 1),
        ('"h0" in string(r0)', TEXT, 1),
        ('"" in string(r0)', TEXT, 1),
        ('"00" in string(r0)', TEXT, 0),
        ('"00" not in string(r0)', TEXT, 1),
        ('string(r0) == "eth0" and r0 > 5', TEXT, 1),
        ('string(r0 + 1) == "th0"', TEXT, 1),
        ('string(r0) == "rat"', OPEN, 0),
        ('string(r0).startswith("rat")', OPEN, 1),
        ('string(r0) == "rate9"', OPEN, None),  # the zero is not there to be read
        ('string(r0).endswith("9")', OPEN, None),
        ('string(r0) == "eth0"', 0, None),
    ],
)
@pytest.mark.parametrize("architecture", [4, 7])
def test_what_a_comparison_of_strings_means(expression, r0, expected, architecture):
    both = BothSides(
        define(f"def handler(r0):\n    emit(value={expression})\n", NAME="eth0"), architecture=architecture
    )
    assert both.target(state(r0=r0)) == both.host(state(r0=r0)) == ([{"value": expected}], False)


def test_strings_come_back_in_records_as_they_are_in_memory():
    source = "def handler(r0, r1):\n    emit(a=string(r0), n=r0, b=string(r1))\n"
    for r0, r1, a, b in (
        (TEXT, BYTES, "eth0", "\\xffx"),
        (TEXT + 1, TEXT + 4, "th0", ""),
        (0, TEXT, None, "eth0"),
        (OPEN, OPEN, None, None),
    ):
        assert run(source, r0=r0, r1=r1) == ([{"a": a, "n": r0, "b": b}], False)
    both = "def handler(r0):\n    emit(a=string(u32(r0)), b=u8(r0))\n"
    assert run(both, r0=0) == ([{"a": None, "b": None}], False)
    assert run("def handler(r0):\n    if string(r0) == 'x':\n        emit(a=1)\n", r0=0) == ([], True)


def test_only_what_is_needed_is_evaluated():
    source = "def handler(r0):\n    emit(v=r0 != 0 and u8(r0) == 0x81, w=1 if r0 == 0 else u8(r0))\n"
    assert run(source, r0=0) == ([{"v": 0, "w": 1}], False)
    assert run(source, r0=READ) == ([{"v": 1, "w": 0x81}], False)
    assert run(source, r0=1) == ([{"v": None, "w": None}], False)


def test_annotations_of_parameters_mean_nothing():
    source = "def twice(x: 'Word', /) -> Missing:\n    return 2 * x\n"
    source += "def handler(r0: Missing, /) -> Missing:\n    emit(v=twice(r0))\n"
    assert run("from __future__ import annotations\n" + source, r0=4) == ([{"v": 8}], False)


def test_helpers_may_be_imported_and_names_of_ones_own_come_first():
    source = "def handler(r0):\n    emit(v=log2(as_u8(r0)), w=u8(r0))\n"
    imported = {name: HELPERS[name] for name in ("emit", "log2", "as_u8", "u8")}
    both = BothSides(define(source, **imported))
    assert both.target(state(r0=READ)) == both.host(state(r0=READ)) == ([{"v": 6, "w": 0x81}], False)
    own = "def log2(x):\n    return x + 1\ndef handler(r0):\n    emit(v=log2(r0))\n"
    assert run(own, r0=5) == ([{"v": 6}], False)


def test_helpers_outside_of_handlers_compute_or_say_where_they_belong():
    assert (as_s8(0x180), as_u64(-1), log2(9)) == (-128, (1 << 64) - 1, 3)
    with pytest.raises(UsageError, match=r"^u8\(0x8000\) is there in compiled handlers only$"):
        u8(0x8000)
    with pytest.raises(UsageError, match=r"^emit\(\) is there in compiled handlers only$"):
        emit(v=1)


@pytest.mark.parametrize(
    ("body", "instructions"),
    [
        ("pass", 5),
        ("counter.add()", 11),
        ("histogram[log2(r0)] += 1", 15),
        ("table[lr] += 1", 39),
        ("emit(v=r0)", 32),
        ("x = u32(r0)", 21),
    ],
)
def test_code_is_no_larger_than_it_was(body, instructions):
    """Five of them count the hit."""
    shapes = {"counter": MapShape(MapKind.COUNTER), "histogram": MapShape(MapKind.HISTOGRAM, 64),
              "table": MapShape(MapKind.TABLE, 100)}  # fmt: skip
    maps = {name: Map(name, shape, MAPS) for name, shape in shapes.items()}
    both = BothSides(define(f"def handler(r0, lr):\n    {body}\n", **maps))
    assert both.body.code <= instructions, f"{body}: {both.body.code} instructions, and it was {instructions}"


@pytest.mark.slow
@given(
    step=st.sampled_from([0, 1, 3, 16, 1000, 0x7FFFFFFF, 0xFFFFFFFF]),
    base=st.sampled_from([0, 1, 100, 0x80000000, 0xFFFFFFFF]),
    buckets=st.sampled_from([1, 2, 5, 40]),
    values=st.lists(st.one_of(st.sampled_from(INTERESTING), st.integers(0, 400)), min_size=5, max_size=5),
    configuration=st.sampled_from([(4, False), (7, False), (7, True)]),
)
@settings(max_examples=80, deadline=None)
def test_values_are_observed_in_the_bucket_that_they_belong_to(step, base, buckets, values, configuration):
    architecture, atomic = configuration
    shape = MapShape(MapKind.HISTOGRAM, buckets, step, base if step else 0)
    source = "def handler(r0):\n    seen.observe(r0)\n"
    both = BothSides(define(source, seen=Map("seen", shape, MAPS)), architecture=architecture, atomic=atomic)
    expected = [0] * (1 + buckets)
    for value in values:
        both.target(state(r0=value))
        both.host(state(r0=value))
        if step:
            inside = [n for n in range(buckets) if base + n * step <= value < base + (n + 1) * step]
        else:
            inside = [n for n in range(buckets) if (2**n if n else 0) <= value < 2 ** (n + 1)]
        expected[inside[0] + 1 if inside else 0] += 1
    words = struct.unpack_from(f"<{1 + buckets}Q", both.target_maps)
    assert (list(words), both.target_maps) == (expected, bytes(both.host_memory))


@pytest.mark.parametrize("configuration", [(4, False), (7, False), (7, True)])
def test_a_value_of_a_table_is_replaced(configuration):
    architecture, atomic = configuration
    last, power = Map("last", MapShape(MapKind.TABLE, 4), MAPS), Map("p", MapShape(MapKind.HISTOGRAM, 3), MAPS + 0x100)
    source = "def handler(r0, r1):\n    last[r0] = as_u64(r1) << 8\n    power[r0] = 7\n"
    both = BothSides(define(source, last=last, power=power), architecture=architecture, atomic=atomic)
    for key, value in [(1, 5), (2, 6), (1, 0xFFFFFFFF), (0, 9), (3, 1), (4, 1), (5, 1)]:
        both.target(state(r0=key, r1=value))
        both.host(state(r0=key, r1=value))
    assert both.target_maps == bytes(both.host_memory)
    shown = Map("last", last.shape, MAPS, _memory=both)
    assert shown.values() == {0: 9 << 8, 1: 0xFFFFFFFF00, 2: 6 << 8, 3: 1 << 8, 4: 1 << 8}
    assert shown.overflow == 1
    assert Map("p", power.shape, MAPS + 0x100, _memory=both).values() == {0: 7, 1: 7, 2: 7}
