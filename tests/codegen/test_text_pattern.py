"""Patterns of strings: against fnmatch, and the code in the target against the host."""

from __future__ import annotations

import fnmatch
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codegen.test_handlers import DATA, PAGE, Machine, state

from armprobe.codegen.body import Exit
from armprobe.codegen.filters import CompareText
from armprobe.codegen.handlers import compile_guard
from armprobe.codegen.text_pattern import TextPattern, begins_with, contains, ends_with, exactly, parse_glob
from armprobe.errors import UsageError
from armprobe.events.source import Memory

LETTERS = "ab]-!"
globs = st.lists(
    st.one_of(st.sampled_from(["*", "?", "a", "b", "ab", "[ab]", "[!a]", "[a-b]", "[]a]"])), max_size=6
).map("".join)  # fmt: skip
strings = st.text(LETTERS, max_size=8).map(str.encode)


@given(glob=globs, text=strings)
@settings(max_examples=400)
def test_patterns_match_as_in_fnmatch(glob, text):
    assert parse_glob(glob.encode()).matches(text + b"\0") is fnmatch.fnmatchcase(text.decode(), glob)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"a\*", b"a*", True),
        (r"a\*", b"ab", False),
        ("[^a]", b"b", True),
        ("[a-", None, "a set in a pattern is not closed"),
        ("[", None, "a set in a pattern is not closed"),
        ("*", b"", True),
        ("", b"", True),
        ("", b"a", False),
    ],
)
def test_what_a_pattern_means(pattern, text, expected):
    if text is None:
        with pytest.raises(UsageError, match=f"^{expected}$"):
            parse_glob(pattern.encode())
        return
    assert parse_glob(pattern.encode()).matches(text + b"\0") is expected


patterns = st.one_of(
    globs.map(str.encode).map(parse_glob),
    *(st.builds(make, strings) for make in (exactly, begins_with, ends_with, contains)),
)


@pytest.mark.slow
@given(pattern=patterns, texts=st.lists(strings, min_size=3, max_size=3), architecture=st.sampled_from([4, 7]))
@settings(max_examples=60, deadline=None)
def test_the_target_matches_as_the_host_does(pattern, texts, architecture):
    """Also at the end of memory, and for strings longer than what is looked at."""
    readable = ((DATA, DATA + PAGE),)
    body = compile_guard(CompareText(Memory("r0", 0), pattern, True), architecture=architecture, readable=readable)
    other = compile_guard(CompareText(Memory("r0", 0), pattern, False), architecture=architecture, readable=readable)
    yes, no = Machine(), Machine()
    for machine in (yes, no):
        machine.write(DATA, bytes(PAGE))
    long = [texts[0] + b"a" * 300, texts[0] + b"b" * 254 + texts[1]]
    places = [(DATA + 0x100 * number, text + b"\0") for number, text in enumerate(texts)]
    places += [(DATA + 0x400 + 0x200 * number, text + b"\0") for number, text in enumerate(long)]
    places.append((DATA + PAGE - len(texts[2]) - 1, texts[2] + b"\0"))
    for address, text in places:
        expected = pattern.matches(text[: pattern.most])
        for machine, guard, wanted in ((yes, body, expected), (no, other, not expected)):
            machine.write(address, text)
            left = machine.run(guard, state(1, r0=address))
            assert (left is Exit.HOLDS) is wanted, f"{pattern} and {text}"


@pytest.mark.parametrize("pattern", [exactly(b"ab"), begins_with(b"abc"), ends_with(b"b"), contains(b"b")])
def test_a_string_that_runs_out_of_memory_neither_matches_nor_differs(pattern: TextPattern):
    place = DATA + PAGE - 2
    for equal in (True, False):
        guard = compile_guard(CompareText(Memory("r0", 0), pattern, equal), readable=((DATA, DATA + PAGE),))
        for address in (place, 0, DATA - 1):
            machine = Machine()
            machine.write(place, b"ab")
            assert machine.run(guard, state(1, r0=address)) is None


def test_patterns_look_at_no_more_than_they_need():
    assert [exactly(b"eth0").most, begins_with(b"eth").most, begins_with(b"").most] == [5, 3, 1]
    assert random.Random(0).choice([contains(b"x"), ends_with(b"x")]).most == 256
