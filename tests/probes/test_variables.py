"""Variables by name in definitions, filters and host handlers, where a program has debug information."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.symbols.dwarf.programs import DEMO, LEVELS, image

from armprobe import HandlerError, Session, UsageError, emulate


def start(level: str = "-O2", *, calls: int = 3, debug: bool = True) -> Session:
    program = image(level)
    return emulate(program if debug else replace(program, debug=()), arguments=["variables", str(calls)],
                   output=lambda _: None)  # fmt: skip


def values(definition: str, level: str = "-O2", calls: int = 3) -> list[dict]:
    with start(level, calls=calls) as session:
        session.define(definition)
        session.optimize_now()
        session.run()
        return [event.values for event in session.events()]


def lines(definition: str, level: str = "-O2") -> list[str]:
    with start(level) as session:
        session.define(definition)
        session.run()
        return [str(event) for event in session.events()]


def signed(value: int, bits: int) -> int:
    return (value & (1 << bits) - 1 ^ 1 << bits - 1) - (1 << bits - 1)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("optimize", [False, True], ids=["trap", "branch"])
def test_members_are_what_a_host_handler_reads_at_their_offsets(level, optimize):
    """Offsets by hand, from the declaration in variables.c and the procedure call standard."""
    expected = []
    with start(level, calls=20) as session:
        session.optimization = optimize
        session.define(
            "p:m follow type=m->hdr.type version=m->hdr.version urgent=m->hdr.urgent level=m->hdr.level m->hdr.length "
            "next=m->next color=m->color second=m->bytes[1] low=m->low middle=m->middle far=m->far flag=m->flag "
            "name=m->name:string letter=m->name[0] title=m->title:string cell=m->table[1][2] m->stamp "
            "wanted tiny all=m->bytes row=m->table[0]:s16[3] other=m->next->hdr.type global=messages[2].word"
        )

        def read(hit):
            m, u8, u16, u32 = hit.regs.r0, hit.u8, hit.u16, hit.u32
            expected.append({
                "type": u8(m), "version": u8(m + 1) & 7, "urgent": u8(m + 1) >> 3 & 1,
                "level": signed(u8(m + 1) >> 4, 4), "length": u16(m + 2), "next": u32(m + 4),
                "color": signed(u8(m + 8), 8), "second": u8(m + 13), "wanted": signed(hit.regs.r1, 8),
                "tiny": hit.regs.r2 & 0xFF,
                "other": u8(u32(m + 4)) if u32(m + 4) else None,
            })  # fmt: skip

        session.probe("follow", read)
        session.run()
        found = [event.values for event in session.events()]
    assert len(found) == len(expected) == 20
    for event, raw in zip(found, expected, strict=True):
        number = event["type"] - 10
        # What the program stored, as its source says.
        assert event["far"] == 0x123456789 + number
        assert event["low"] == 3 * number + 1
        assert event["middle"] == number - 2
        assert event["flag"] == number & 1
        assert event["name"] == "abcd"[number] + "z"
        assert event["letter"] == ord("a") + number
        assert event["title"] == ("odd" if number & 1 else "even")
        assert event["cell"] == 200 + number
        assert event["stamp"] == 0xFEDCBA9876543210 + number
        assert event["all"] == list((0x01020304 * (number + 1)).to_bytes(4, "little"))
        assert event["row"] == [-300 + number, -200 + number, -100 + number]
        assert event["global"] == 0x01020304 * 3
        assert {name: event[name] for name in raw} == raw


def test_types_come_from_the_declaration_and_enumerations_show_their_names():
    first = lines("p:f follow m wanted tiny m->hdr.level m->color m->name[0]")[0]
    assert first.partition(": ")[2] == "f: (follow+0x0/0x44) m=0x9010 wanted=BLUE tiny=NONE level=-2 color=RED name='a'"


def test_a_type_that_is_named_wins():
    for event in values("p:n narrow whole=a:x32 b=b:u8 a r0=%r0 r1=%r1"):
        assert (event["whole"], event["b"], event["a"]) == (event["r0"], event["r1"] & 0xFF, event["r0"] & 0xFF)


def test_all_arguments_can_be_asked_for_at_once():
    wanted = {"count", "a", "b", "c", "d", "e", "f", "g"}
    for word in ("$params", "$arg*"):
        (event,) = values(f"p:s stacked {word}", calls=1)
        assert set(event) == wanted - {"count"}
    event = values("p:s stacked+0x20 $vars", calls=1)[0]
    assert {"b", "e", "f", "g", "i"} <= set(event)
    assert "a" not in event  # known only by what r0 held at the entry
    assert values("p:v variadic $params", calls=1) == [{"count": 3}]


@pytest.mark.parametrize("level", LEVELS)
def test_arguments_by_number_take_the_words_that_their_types_need(level):
    by_number = values("p:w wide $arg1 $arg2 $arg3 $arg4", level)
    by_name = values("p:w wide a b c d", level)
    assert [list(event.values()) for event in by_number] == [list(event.values()) for event in by_name]
    assert all(event["b"] >> 32 for event in by_name)
    assert all(event["c"] < 0 for event in by_name)


def test_a_result_has_the_type_that_the_function_returns():
    events = values("r:w wide low=%r0:u32 wide=$retval", calls=3)
    assert all(event["wide"] & 0xFFFFFFFF == event["low"] and event["wide"] >> 32 for event in events)
    with emulate(DEMO / "demo.elf", arguments=["demo", "60"], output=lambda _: None) as session:
        session.define("r:parsed parse_packet raw=%r0:s32 $retval")
        session.run()
        results = [event.values for event in session.events()]
    assert all(event["raw"] == event["arg2"] for event in results)
    assert min(event["arg2"] for event in results) == -1


def test_filters_compare_variables_and_know_the_words_of_enumerations():
    everything = values("p:f follow wanted tiny length=m->hdr.length", calls=30)
    wanted = values("p:f follow wanted tiny length=m->hdr.length if wanted == BLUE && m->hdr.length > 100", calls=30)
    blue = [event for event in everything if event["wanted"] == 7 and event["length"] > 100]
    assert wanted == blue
    assert 0 < len(blue) < len(everything)
    with start(calls=30) as session:
        (counted,) = session.define_all(["follow if m->hdr.length > 100 && wanted == BLUE"])
        seen = []
        session.probe("follow", lambda hit: seen.append(hit.args.m.hdr.length), when="m->hdr.length > 100")
        session.run()
        assert counted.hits == len(blue)
        assert seen == [event["length"] for event in everything if event["length"] > 100]


@pytest.mark.parametrize(
    ("definition", "spot", "message", "hint"),
    [
        (
            "p:x narrow size=aa", "aa",
            "narrow has no argument or variable 'aa'; it has: a, b, c, d, i, sum", "did you mean a?",
        ),
        (
            "p:x follow m->hdr.lenght", "m->",
            "struct header has no member 'lenght'; it has: type, version, urgent, level, length",
            "did you mean length?",
        ),
        ("p:x follow m->table[1][3]", "m->", "m->table[1] has 3 elements, [0] to [2], and no [3]", ""),
        ("p:x follow tiny->x", "tiny", "tiny is an enum tiny, which has no members", ""),
        (
            "p:x follow m->hdr", "m->hdr", "m->hdr is a struct header, no number",
            "name a member: type, version, urgent, level, length",
        ),
        (
            "p:x follow wanted:string", "wanted",
            "wanted is an enum color, no string", "a string is an array or behind a pointer",
        ),
        ("p:x follow m:u8[4]", "m:", "m is a struct message *, and an array is in memory", "write m[0]:u8[4]"),
        (
            "p:x follow m->low:u32", "m->low",
            "m->low is a bit-field of 5 bits, which has a type of its own", "leave the type out",
        ),
        ("p:x stacked+0x20 a", " a", "a is known only by what r0 held when the function was called", ""),
        (
            "p:x narrow r1", "r1",
            "narrow has no argument or variable 'r1'; it has: a, b, c, d, i, sum", "the register is %r1",
        ),
        ("p:x narrow+0xc $arg1 $arg5", "$arg5", "narrow has 4 arguments, and no $arg5", ""),
        (
            "r:x narrow a", " a", "'a' is a variable, and those are gone when the function has returned",
            "$retval is the result; write p in place of r for the arguments",
        ),
        (
            "p:x narrow if aa > 3", "aa",
            "narrow has no argument or variable 'aa'; it has: a, b, c, d, i, sum", "did you mean a?",
        ),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_with_a_caret(definition, spot, message, hint):
    with start() as session, pytest.raises(UsageError) as caught:
        session.define(definition)
    assert (str(caught.value), caught.value.hint) == (message, hint)
    at = definition.index(spot) + spot.startswith(" ")
    assert caught.value.evidence == definition + "\n" + " " * at + "^"


def test_without_debug_information_names_are_refused_with_the_reason():
    with start(debug=False) as session:
        with pytest.raises(UsageError, match="no debug information here, which would know the name 'a'"):
            session.define("p:x narrow a")
        session.probe("narrow", lambda hit: hit.args.a)
        with pytest.raises(UsageError, match="no debug information about narrow, which would know"):
            session.run()


def test_host_handlers_reach_arguments_and_variables_by_name():
    seen = []
    with start("-O0", calls=2) as session:

        @session.probe("follow")
        def look(hit):
            args = hit.args
            assert list(args) == ["m", "wanted", "tiny"]
            assert args["tiny"] == args.tiny
            assert "m" in args
            assert "found" not in args
            m = args.m
            assert m == hit.regs.r0
            assert m.title.string_() in ("odd", "even")
            assert m.name.string_() == chr(m.name[0]) + "z"
            assert m[0].hdr.type == m.hdr.type
            assert hit.cast("struct message *", int(m)).hdr.type == m.hdr.type
            assert m.hdr.address_ == m
            assert list(m.bytes) == list(hit.read(m.bytes.address_, 4))
            assert len(m.table) == 2
            assert hit.vars.messages[1].hdr.type == 11
            seen.append((repr(args.wanted), args.wanted.name, int(args.wanted), repr(m.hdr)))

        session.run()
    assert seen[0] == ("BLUE", "BLUE", 7, "(struct header){type=10, version=0, urgent=0, level=-2, length=0}")


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (lambda hit: hit.args.x, "narrow has no argument 'x'; it has: a, b, c, d"),
        (lambda hit: hit.args.sum, "narrow has no argument 'sum'; it has: a, b, c, d; 'sum' is a variable there"),
        (lambda hit: hit.vars.x, "narrow has no argument or variable 'x'; it has: a, b, c, d, i, sum"),
        (lambda hit: hit.vars.messages[0].x, "struct message has no member 'x'; it has: hdr, next, color, word, "),
        (lambda hit: hit.vars.messages[4], "messages has 4 elements, [0] to [3], and no [4]"),
        (lambda hit: hit.vars.sum + hit.vars.product, "narrow has no argument or variable 'product'"),
    ],
)  # fmt: skip
def test_a_handler_that_asks_for_what_is_not_there_is_told_so(handler, message):
    with start() as session:
        session.probe("narrow", handler)
        with pytest.raises(HandlerError) as caught:
            session.run()
    assert message in str(caught.value)


def test_a_value_that_is_optimized_out_is_no_value():
    with start() as session:
        session.probe("wide", lambda hit: hit.vars.product)
        with pytest.raises(HandlerError, match="the handler at wide raised AttributeError: product is optimized out"):
            session.run()


def test_arguments_are_gone_when_a_function_has_returned():
    with start() as session:
        session.retprobe("narrow", lambda hit: hit.args.a, entry=lambda hit: hit.args.a)
        with pytest.raises(UsageError, match="narrow has returned: its variables are gone"):
            session.run()
