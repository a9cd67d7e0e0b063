"""What handlers may not say, and how they are told: the file, the line, a caret, and the reason."""

from __future__ import annotations

import linecache
import math
import time

import pytest
from tests.codegen.python_functions import define, shape_of

from armprobe.codegen.map_layout import MapKind, MapShape
from armprobe.codegen.python_subset import check_condition, check_handler
from armprobe.errors import UsageError
from armprobe.probes.maps import Map

CALLS = "helpers are log2, min, max, as_u8 to as_s64, u8 to s64, string, cast, emit, and skip"
TEXT_HINT = 'compare it, string(r0) == "eth0", or write emit(name=string(r0))'
NAMES = {
    "h": Map("h", MapShape(MapKind.HISTOGRAM, 8), 0),
    "steps": Map("steps", MapShape(MapKind.HISTOGRAM, 8, 10), 0),
    "t": Map("t", MapShape(MapKind.TABLE, 8), 0),
    "c": Map("c", MapShape(MapKind.COUNTER), 0),
    "math": math,
    "text": "abc",
    "rate": 0.5,
}


def refusal(source: str, **names: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check_handler(define(source, **names), shape_of)
    return caught.value


@pytest.mark.parametrize(
    ("body", "caret", "message", "hint"),
    [
        ("x = r0 / 2", "r0 / 2", "/ is not there in compiled handlers", "// divides whole numbers"),
        (
            "x = r0 // r1",
            "r0 // r1",
            "// needs a plain number of 1 to 4294967295 on its right side",
            "a division by anything else takes a loop, which a handler has no time for",
        ),
        (
            "x = r0 // 0",
            "r0 // 0",
            "// needs a plain number of 1 to 4294967295 on its right side",
            "a division by anything else takes a loop, which a handler has no time for",
        ),
        (
            "x = as_u64(r0) // 10",
            "as_u64(r0) // 10",
            "a number of 64 bits is divided by powers of two only, not by 10",
            "as_u32() takes the lower half",
        ),
        ("x = r0 ** 2", "r0 ** 2", "** is there for plain numbers only", ""),
        ("x = r0 @ r1", "r0 @ r1", "@ is not there in compiled handlers", "// divides whole numbers"),
        ("x = r0 + 1.5", "1.5", "1.5 is no whole number", "compiled handlers compute with whole numbers"),
        ('x = "text"', '"text"', "'text' is no whole number", "compiled handlers compute with whole numbers"),
        ("x = text", "text", "'abc' is no whole number", "compiled handlers compute with whole numbers"),
        ("x = rate", "rate", "0.5 is no whole number", "compiled handlers compute with whole numbers"),
        ("x = None", "None", "None is no whole number", "compiled handlers compute with whole numbers"),
        ("x = [1]", "[1]", "a list is not there in compiled handlers", ""),
        ("x = (r0, r1)", "(r0, r1)", "a tuple is not there in compiled handlers", ""),
        ("x = {r0: 1}", "{r0: 1}", "a dictionary is not there in compiled handlers", ""),
        ("x = [i for i in range(4)]", "[i for i in range(4)]", "a comprehension is not there in compiled handlers", ""),
        ("x = lambda: 0", "lambda: 0", "a lambda is not there in compiled handlers", ""),
        ('x = f"{r0}"', 'f"{r0}"', "text is not there in compiled handlers", ""),
        ("x = h", "h", "the map 'h' is no number", "write h[KEY], or COUNTER.total"),
        ("x = c + 1", "c + 1", "the map 'c' is no number", "write c[KEY], or COUNTER.total"),
        ("x = r0[1]", "r0[1]", "this is an element of no map, and of no object of the program", ""),
        ("x = c[0]", "c[0]", "a counter has no keys", "write COUNTER.add(1), or COUNTER.total"),
        (
            "x = t[as_u64(r0)]",
            "as_u64(r0)]",
            "the keys of a table are u32, and this is u64",
            "as_u32() takes the lower half",
        ),
        ("x = t.total", "t.total", "a table has no 'total' in a handler", "MAP[KEY] reads a number, and COUNTER.total"),
        ("x = c.hits", "c.hits", "a counter has no 'hits' in a handler", "MAP[KEY] reads a number, and COUNTER.total"),
        (
            "x = undefined",
            "undefined",
            "there is no 'undefined' here",
            "a handler knows its parameters and variables, numbers, maps, functions and helpers",
        ),
        ("x = y\ny = 1", "y", "'y' may have no value here", "give it one on every way that leads here"),
        ("x = r0 << 32", "32", "u32 is shifted by 0 to 31 bits, not by 32", ""),
        (
            "x = r0 << as_s32(r1)",
            "as_s32(r1)",
            "the distance of a shift is unsigned, and this is s32",
            "as_u32() converts",
        ),
        ("x = r0 < -1", "-1", "-1 is no u32: that is 0 to 4294967295", "as_s32() makes a signed number"),
        ("x = r0 + (1 << 40)", "1 << 40)", "1099511627776 is no u32: that is 0 to 4294967295", ""),
        (
            "x = as_s32(r0) + r1",
            "as_s32(r0) + r1",
            "s32 and u32 do not go together: 32 bits cannot hold both",
            "convert one of them: as_s32() or as_u32()",
        ),
        (
            "x = as_u64(r0) - as_s32(r1)",
            "as_u64(r0) - as_s32(r1)",
            "u64 and s32 do not go together: 64 bits cannot hold both",
            "convert one of them: as_u64() or as_s32()",
        ),
        ("x = (r0 > 1) + 1", "r0 > 1) + 1", "this is a truth value, where a number is wanted", "write 1 if ... else 0"),
        ("x = r0 and r1", "r0 and r1", "this is u32, where bool is wanted", "write VALUE != 0"),
        (
            "x = 1 if r0 else True",
            "1 if r0 else True",
            "1 is no truth value",
            "write True or False, or compare numbers",
        ),
        ("x = r0 in (1, 2)", "(1, 2)", "in and is are not there in compiled handlers", "compare with == or <"),
        ("x = r0 is r1", "r1", "in and is are not there in compiled handlers", "compare with == or <"),
        (
            "x = log2(as_s32(r0))",
            "as_s32(r0))",
            "log2() takes an unsigned number, and this is s32",
            "as_u32() converts",
        ),
        ("x = log2()", "log2()", "log2() takes one argument, not 0", ""),
        ("x = min(r0)", "min(r0)", "min() takes two or more numbers", ""),
        ("x = u8(as_u64(r0))", "as_u64(r0))", "an address is u32, and this is u64", "as_u32() converts"),
        ("x = u8(-1)", "-1)", "-1 is no u32: that is 0 to 4294967295", "as_s32() makes a signed number"),
        (
            "x = len(r0)",
            "len(r0)",
            "len() can't be called in a compiled handler",
            f"functions written in Python can; {CALLS}",
        ),
        (
            "x = print(r0)",
            "print(r0)",
            "print() can't be called in a compiled handler",
            f"functions written in Python can; {CALLS}",
        ),
        (
            "x = math.sqrt(r0)",
            "math.sqrt(r0)",
            "only functions and helpers are called in a compiled handler",
            CALLS,
        ),
        (
            "x = math.pi",
            "math.pi",
            "3.141592653589793 is no whole number",
            "compiled handlers compute with whole numbers",
        ),
        ("x = math.nothing", "math.nothing", "'math' has no 'nothing'", ""),
        ("x = emit(a=r0)", "emit(a=r0)", "emit() has no value", "write it on a line of its own"),
        (
            "x = abs(r0)",
            "abs(r0)",
            "abs() can't be called in a compiled handler",
            f"functions written in Python can; {CALLS}",
        ),
        (
            "x = r0.real",
            "r0.real",
            ("attributes are those of the hit, of modules, of enumerations, and members of the program's objects"),
            "",
        ),
        ("x = 1 << 70", "1 << 70", "1 << 70 does not fit in 64 bits", ""),
        ("x = r0 >> -1", "-1", "u32 is shifted by 0 to 31 bits, not by -1", ""),
        ("assert r0", "assert r0", "assert is not there in compiled handlers", ""),
        (
            "while r0: pass",
            "while r0: pass",
            "while is not there in compiled handlers",
            "for ... in range(N) is, with a plain number N: it ends",
        ),
        ("for i in range(r0): pass", "r0): pass", "the ends of a range are plain numbers, so that the loop ends", ""),
        ("for i in h: pass", "h: pass", "a loop runs over range(...)", "for i in range(8):"),
        (
            "for i in range(70000): pass",
            "for i in range(70000): pass",
            "this loop runs up to 70000 times for one hit, and 65536 is the most",
            "",
        ),
        ("for i in range(4, 0, 0): pass", "range(4, 0, 0): pass", "the step of a range is not 0", ""),
        ("for i, j in range(4): pass", "i, j in range(4): pass", "a loop has one variable", ""),
        ("raise ValueError", "raise ValueError", "raise is not there in compiled handlers", ""),
        ("del r0", "r0", "keys of tables are removed, and nothing else", "write del MAP[KEY]"),
        ("import os", "import os", "import is not there in compiled handlers", ""),
        ("global r9", "global r9", "global is not there in compiled handlers", ""),
        ("with r0: pass", "with r0: pass", "with is not there in compiled handlers", ""),
        (
            "a, b = r0, r1",
            "a, b = r0, r1",
            "only variables are assigned to, one at a time",
            "a map is added to: map[KEY] += 1",
        ),
        (
            "a = b = r0",
            "a = b = r0",
            "only variables are assigned to, one at a time",
            "a map is added to: map[KEY] += 1",
        ),
        ("x: int = 5", "x: int = 5", "an annotation is not there in compiled handlers", "write NAME = VALUE"),
        ("c[r0] = 1", "c[r0] = 1", "a counter has no keys", "write COUNTER.add(1), or COUNTER.total"),
        ("t[r0] = -1", "-1", "a map holds unsigned numbers, and this has a sign", "as_u64() converts"),
        ("h[r0] -= 1", "h[r0] -= 1", "a map is added to, or a value replaced", "write MAP[KEY] += 1"),
        ("t.observe(r0)", "t.observe(r0)", "a table observes no values", "a histogram does"),
        ("h.observe()", "h.observe()", "observe() takes one number", ""),
        ("h.observe(as_s32(r0))", "as_s32(r0))", "an observed value is unsigned, and this is s32", "as_u32() converts"),
        (
            "steps.observe(as_u64(r0))",
            "as_u64(r0))",
            "a number of 64 bits is observed by powers of two, not by 10",
            "as_u32() takes the lower half",
        ),
        ("h[as_s32(r0)] += 1", "as_s32(r0)] += 1", "a key is unsigned, and this is s32", "as_u32() converts"),
        (
            "t[as_u64(r0)] += 1",
            "as_u64(r0)] += 1",
            "the keys of a table are u32, and this is u64",
            "as_u32() takes the lower half",
        ),
        ("c[0] += 1", "c[0] += 1", "a counter has no keys", "write COUNTER.add(1), or COUNTER.total"),
        ("h.add(1)", "h.add(1)", "a histogram is added to by key", "write MAP[KEY] += 1"),
        ("c.add(1, 2)", "c.add(1, 2)", "add() takes one number, or none for 1", ""),
        ("c.add(as_s32(r0))", "as_s32(r0))", "a map holds unsigned numbers, and this has a sign", "as_u64() converts"),
        ("c.add(-1)", "-1)", "a map holds unsigned numbers, and this has a sign", "as_u64() converts"),
        ("h[1] += r0 > 1", "r0 > 1", "this is a truth value, where a number is wanted", "write 1 if ... else 0"),
        ("r0[1] += 1", "r0[1] += 1", "this is no map", "session.counter(), histogram() and table() make maps"),
        ("emit(r0)", "r0)", "a field has a name", "write emit(NAME=VALUE)"),
        ("emit(__a=r0)", "r0)", "a field is written NAME=VALUE, and its name does not begin with __", ""),
        (
            "emit(a=r0); emit(b=r0)",
            "emit(b=r0)",
            "the handler emits the fields a elsewhere",
            "a handler has one kind of record",
        ),
        ("emit(a=r0); emit(a=as_s32(r0))", "as_s32(r0))", "this is s32, where u32 is wanted", "as_u32() converts"),
        ("return r0", "r0", "nobody takes what a handler returns", "return alone ends it; emit() records values"),
        ("return; x = 1", "x = 1", "this is never reached", ""),
        ("r0", "r0", "this has no effect", ""),
        ("x = 5; x = as_s32(r0)", "as_s32(r0)", "this is s32, where u32 is wanted", "as_u32() converts"),
        ("x = r0; x = -1", "-1", "-1 is no u32: that is 0 to 4294967295", "as_s32() makes a signed number"),
        ("x = r0; x = True", "True", "this is bool, where u32 is wanted", "as_u32() converts"),
        (
            "if r0:\n    y = 1\nemit(y=y)",
            "y)",
            "'y' may have no value here",
            "give it one on every way that leads here",
        ),
        ('emit(**{"a": r0})', '{"a": r0})', "a field is written NAME=VALUE, and its name does not begin with __", ""),
        ("u8(r0, r1)", "u8(r0, r1)", "u8() takes one argument, not 2", ""),
        ("u8(address=r0)", "r0)", "u8() takes arguments by position here", ""),
        ("x = string(r0)", "string(r0)", "a string is no value of its own", TEXT_HINT),
        ("emit(a=string(r0) + 1)", "string(r0) + 1)", "a string is no value of its own", TEXT_HINT),
        ("emit(a=string())", "string())", "string() takes one argument, the address", ""),
        ("emit(a=string(as_u64(r0)))", "as_u64(r0)))", "an address is u32, and this is u64", "as_u32() converts"),
        ("emit(a=string(r0) < 'x')", "string(r0) < 'x')", "a string is compared with ==, != or in", TEXT_HINT),
        ("emit(a=string(r0) == r1)", "r1)", "a string is compared with plain text", TEXT_HINT),
        ("emit(a=string(r0) == string(r1))", "string(r1))", "a string is compared with plain text", TEXT_HINT),
        (
            "emit(a=string(r0) == 'a\\0')",
            "'a\\0')",
            "text to compare with has at most 64 bytes, and none of them is 0",
            "",
        ),
        (
            "emit(a=string(r0).upper())",
            "string(r0).upper())",
            "a string has startswith(TEXT) and endswith(TEXT) here",
            TEXT_HINT,
        ),
        ("emit(a=string(r0))\nemit(a=r0)", "r0)", "the field 'a' is string elsewhere", ""),
        ("x = skip(r0)", "skip(r0)", "skip() has no value", "write it on a line of its own"),
        ("skip(r0, r1)", "skip(r0, r1)", "skip() takes one argument at most, not 2", ""),
        ("skip(value=r0)", "r0)", "skip() takes its argument by position", ""),
        ("skip(r0 == 1)", "r0 == 1)", "this is a truth value, where a number is wanted", "write 1 if ... else 0"),
        ("skip(1 << 64)", "1 << 64)", "18446744073709551616 does not fit in 64 bits", ""),
        ("skip()\nemit(a=r0)", "emit(a=r0)", "this is never reached", ""),
        ("yield r0", "yield r0", "yield is not there in compiled handlers", ""),
        ("def g(): pass", "def g(): pass", "a function in a function is not there in compiled handlers", ""),
    ],
)
def test_what_is_not_in_the_subset_is_refused_where_it_stands(body, caret, message, hint):
    """`caret` is the rest of the line from the caret on."""
    error = refusal("def handler(r0, r1):\n" + "".join(f"    {line}\n" for line in body.splitlines()), **NAMES)
    place, line, mark = error.evidence.splitlines()
    assert (str(error), error.hint, line[mark.index("^") :]) == (message, hint, caret)
    assert place.startswith("<handler ")


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("f = lambda size: size > 5\n", "the parameter 'size' is no register",
         "a compiled handler takes r0 to r12, sp, lr, pc, cpsr, or hit"),
        ("f = lambda r0: r0 / 2\n", "/ is not there in compiled handlers", "// divides whole numbers"),
        ("def f(r0):\n    if r0:\n        return True\n", "a condition returns whether it holds, on every way", ""),
        ("def f(r0):\n    return\n", "a condition returns whether it holds, on every way", ""),
        ("def f(r0):\n    emit(r0=r0)\n    return True\n", "a condition only looks: it emits nothing",
         "let the handler emit"),
        ("def f(r0):\n    skip(1)\n", "a condition only looks: it skips nothing", "let the handler skip"),
        ("def f(r0):\n    h[1] += 1\n    return True\n", "a condition only looks: it changes no map",
         "let the handler do it"),
        ("def f(r0):\n    c.add()\n    return True\n", "a condition only looks: it changes no map",
         "let the handler do it"),
        ("f = lambda r0: r0[1] > 1\n", "this is an element of no map, and of no object of the program", ""),
        ("f = lambda hit: hit.probe == 1\n", "a condition does not know the number of its probe", ""),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused(source, message, hint):
    with pytest.raises(UsageError) as caught:
        check_condition(define(source, **NAMES), shape_of)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    assert caught.value.evidence.splitlines()[-1].endswith("^")


@pytest.mark.parametrize(
    ("line", "caret", "message", "hint"),
    [
        ("hit.retval = hit.time", "hit.time", "hit.retval is one word, and this is u64",
         "as_u32() takes the lower half"),
        ("hit.retval = hit.retval > 5", "hit.retval > 5", "this is a truth value, where a number is wanted",
         "write 1 if ... else 0"),
        ("hit.retval = 1 << 32", "1 << 32", "hit.retval is one word, and this is u64", "as_u32() takes the lower half"),
        ("hit.entry.r0 = 1", "hit.entry.r0 = 1", "only variables are assigned to, one at a time",
         "a map is added to: map[KEY] += 1"),
        ("skip(1)", "skip(1)", "the function has run: it can't be skipped any more",
         "hit.retval = VALUE changes its result"),
    ],
)  # fmt: skip
def test_what_a_handler_at_a_return_may_not_set_is_refused_where_it_stands(line, caret, message, hint):
    with pytest.raises(UsageError) as caught:
        check_handler(define(f"def handler(hit):\n    {line}\n"), shape_of, at_return=True)
    _, shown, mark = caught.value.evidence.splitlines()
    assert (str(caught.value), caught.value.hint, shown[mark.index("^") :]) == (message, hint, caret)


def test_the_evidence_is_the_place_the_line_and_a_caret():
    with pytest.raises(UsageError) as caught:
        check_handler(define("def handler(r0):\n\n\tä = 2; x = r0 / ä\n"), shape_of)
    name = caught.value.evidence.partition(":")[0]
    assert caught.value.evidence == f"{name}:3\n\tä = 2; x = r0 / ä\n\t           ^"


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            "def handler(size):\n    pass\n", "the parameter 'size' is no register",
            "a compiled handler takes r0 to r12, sp, lr, pc, cpsr, or hit",
        ),
        ("def handler(*r0):\n    pass\n", "handler() has parameters with * or default values", "use plain ones"),
        ("def handler(r0=1):\n    pass\n", "handler() has parameters with * or default values", "use plain ones"),
        ("def handler(hit):\n    hit = 1\n", "the hit is not assigned to", ""),
        ("def handler(hit):\n    x = hit\n", "'hit' is no number", "write hit.pc, hit.probe or hit.regs.r0"),
        (
            "def handler(hit):\n    x = hit.when\n", "a hit has no 'when' in a compiled handler",
            "it has pc, probe, time, cpu, pid, tgid, comm, regs, args and vars",
        ),
        (
            "def handler(hit):\n    x = hit.regs.r16\n", "there is no register 'r16'",
            "there are r0 to r12, sp, lr, pc, cpsr",
        ),
        ("def handler():\n    handler()\n", "handler() calls itself, and might never end", ""),
        (
            "def f(x):\n    return handler(x)\ndef handler(r0):\n    f(r0)\n",
            "handler() calls itself, and might never end", "",
        ),
        ("def f(x):\n    return x\ndef handler(r0):\n    f()\n", "f() takes 1 arguments, not 0", ""),
        (
            "def f(x):\n    pass\ndef handler(r0):\n    y = f(r0)\n", "this call has no value",
            "let the function return one on every way",
        ),
        (
            "def f(x):\n    if x:\n        return 1\ndef handler(r0):\n    f(r0)\n",
            "f() returns a value on some ways, and none on others", "",
        ),
        ("def f(x):\n    if x:\n        return\n    return 1\ndef handler(r0):\n    f(r0)\n",
         "f() returns without a value elsewhere", ""),
        ("def f(x):\n    if x:\n        return 1\n    return\ndef handler(r0):\n    f(r0)\n",
         "f() returns a value elsewhere", ""),
        ("f = lambda x: x\ndef handler(r0):\n    f(r0)\n",
         None, "write it with def, and give its name"),
        ("def handler(r0):\n    for i in range(300):\n        for j in range(300):\n            pass\n",
         "this loop runs up to 90000 times for one hit, and 65536 is the most", ""),
        ("def handler(r0):\n    i = r0\n    for i in range(-1, 1):\n        pass\n",
         "'i' is u32, which does not hold all of range(-1, 1)", ""),
        ("def handler(r0):\n    for i in range(-1, 1 << 64, 1 << 63):\n        pass\n",
         "no word holds all of range(-1, 18446744073709551616, 9223372036854775808)", ""),
        ("def handler(r0):\n    for i in range(2):\n        x = 1\n    emit(x=x)\n",
         "'x' may have no value here", "give it one on every way that leads here"),
        ("def handler(r0):\n    x = r0\n    x()\n", "'x' is a variable, no function",
         CALLS),
        ("def handler(r0):\n    emit(" + ", ".join(f"a{n}=r0" for n in range(32)) + ")\n",
         "a record has at most 31 fields, not 32", ""),
    ],
)  # fmt: skip
def test_functions_that_can_not_be_compiled_say_why(source, message, hint):
    error = refusal(source)
    if message is None:
        start = "<lambda>() can't be inlined: a compiled handler is a Python function, not <function"
        assert str(error).startswith(start)
    else:
        assert str(error) == message
    assert error.hint == hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def handler(r0):\n    x = " + "r0 + " * 150 + "1\n", "this is nested more than 100 deep"),
        (
            "def handler(r0):\n    if r0 == 0:\n        x = 0\n"
            + "".join(f"    elif r0 == {n}:\n        x = {n}\n" for n in range(1, 120)),
            "this is nested more than 100 deep",
        ),
        ("def handler(r0):\n    x = " + "r0 + " * 2000 + "1\n", "handler() is nested too deeply to be compiled"),
    ],
)
def test_handlers_that_are_nested_too_deeply_are_refused(source, message):
    assert str(refusal(source)) == message


@pytest.mark.slow
def test_calls_that_multiply_are_refused():
    source = "def f0(x):\n    return x + 1\n"
    source += "".join(f"def f{n}(x):\n    return f{n - 1}(f{n - 1}(x))\n" for n in range(1, 14))
    error = refusal(source + "def handler(r0):\n    emit(v=f13(r0))\n")
    assert str(error) == "with its calls inlined, the handler has more than 20000 values"


def test_a_name_without_a_value_yet_is_refused():
    def outer():
        def handler(r0):
            emit(v=limit + r0)  # noqa: F821

        with pytest.raises(UsageError) as caught:
            check_handler(handler, shape_of)
        limit = 1
        return caught.value, limit

    error, _ = outer()
    assert (str(error), error.hint) == ("'limit' has no value yet", "set it before the handler is compiled")
    assert error.evidence.splitlines()[0].startswith(f"{__file__}:")


@pytest.mark.parametrize("what", [len, time, 5, lambda r0: r0])
def test_only_functions_written_with_def_are_compiled(what):
    with pytest.raises(UsageError) as caught:
        check_handler(what, shape_of)
    assert str(caught.value) == f"a compiled handler is a Python function, not {what!r}"


def test_a_source_that_is_gone_or_was_changed_is_refused():
    function = define("def handler(r0):\n    emit(v=r0)\n")
    name = function.__code__.co_filename
    for text in ["", "def handler(r0):\n    emit(v=r0 + 1)\n", "def other(r0):\n    emit(v=r0)\n", "def handler(\n"]:
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        with pytest.raises(UsageError) as caught:
            check_handler(function, shape_of)
        assert str(caught.value) == (
            f"the source of handler() is not at {name}:1, and a handler is compiled from its source"
        )


def test_functions_that_do_the_same_are_one_shape():
    source = "def handler(r0):\n    if r0 > LIMIT:\n        emit(v=r0)\n"
    first, second, third = (check_handler(define(source, LIMIT=limit), shape_of).program for limit in (5, 5, 6))
    assert first == second
    assert hash(first) == hash(second)
    assert first != third
