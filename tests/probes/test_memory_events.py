"""Events that show memory, on the sample firmware: what users see."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from armprobe import Session, UsageError, emulate
from armprobe.symbols.image import Image

DEMO = Path(str(files("armprobe") / "demo" / "demo.elf"))


def start(packets: int = 3, **changes) -> Session:
    return emulate(replace(Image.load(DEMO), **changes), arguments=[str(packets)], output=lambda _: None)


@pytest.mark.parametrize("optimize", [False, True], ids=["trap", "branch"])
def test_events_show_memory_as_a_host_handler_reads_it(optimize):
    """Every field of every packet, read once by compiled code and once by Python."""
    with start(50) as session:
        session.optimization = optimize
        probe = session.define(
            "p:packet parse_packet size=$arg2:u32 kind=+0($arg1):u8 length=+2($arg1):u16 bytes=+0($arg1):x8[8] "
            "caller=%lr:symbol from=%lr:symstr name=+0(@type_names):string names=@type_names+4:string[2] "
            'none=+0(\\0):u8 wide=-1($arg1):u64 low=+0($arg1):b3@1/8 constant=\\7:u8 label=\\"packet" top=$stack0'
        )
        seen = []
        (table,) = session.symbols.named("type_names")
        names = table.address

        def handler(hit):
            r0, data = hit.regs.r0, hit.read
            seen.append({
                "size": hit.regs.r1,
                "kind": hit.u8(r0),
                "length": hit.u16(r0 + 2),
                "bytes": list(data(r0, 8)),
                "caller": hit.regs.lr,
                "from": session.symbols.place(hit.regs.lr),
                "name": hit.string(hit.u32(names)),
                "names": [hit.string(hit.u32(names + 4 * n)) for n in (1, 2)],
                "none": None,
                "wide": int.from_bytes(data(r0 - 1, 8), "little"),
                "low": hit.u8(r0) >> 1 & 7,
                "constant": 7,
                "label": "packet",
                "top": hit.u32(hit.regs.sp),
            })  # fmt: skip

        session.probe("parse_packet", handler)
        session.optimize_now()
        session.run()
        events = list(session.events())
        assert probe.hits == len(seen) >= 50
        assert [event.values for event in events] == seen
        first = seen[0]
        shown = ",".join(f"0x{byte:x}" for byte in first["bytes"])
        assert str(events[0]) == (
            f"{events[0].time}: packet: (parse_packet+0x0/0x184) size={first['size']} kind={first['kind']} "
            f"length={first['length']} "
            f'bytes={{{shown}}} caller={first["from"]} from="{first["from"]}" name="ping" names={{"data","ack"}} '
            f'none=(fault) wide={first["wide"]} low={first["low"]} constant=7 label="packet" top=0x{first["top"]:x}'
        )


def test_without_debug_information_arguments_are_at_the_entry_of_a_function_only():
    definition = "p:x malloc+4 size=%r0 first=$arg1"
    with start(debug=()) as session, pytest.raises(UsageError) as caught:
        session.define(definition)
    assert str(caught.value) == (
        "malloc+0x4 is not known to be the first instruction of a function, and arguments ($argN) are in their places "
        "only there"
    )
    assert caught.value.evidence == definition + "\n" + " " * definition.index("first") + "^"
    assert caught.value.hint == "name registers and memory that you know: %r0, +8(%sp)"


def test_a_variable_that_is_not_there_is_shown_with_a_caret():
    definition = "p:x malloc +0(@type_name):string"
    with start() as session, pytest.raises(UsageError) as caught:
        session.define(definition)
    assert (str(caught.value), caught.value.hint) == (
        "no symbol is called 'type_name'",
        "did you mean type_names?",
    )
    assert caught.value.evidence == definition + "\n" + " " * definition.index("type_name") + "^"


def test_filters_look_at_memory_in_front_of_host_handlers_and_counters_too():
    with start(50) as session:
        kinds = []
        session.probe("parse_packet", lambda hit: kinds.append(hit.u8(hit.regs.r0)))
        counted = session.define("p:data parse_packet kind=+0(%r0):u8 if kind == 1")
        other = session.define("p:other parse_packet kind=+0(%r0):u8 none=+0(\\1) if !(kind == 1) && !(none == 0)")
        bad = session.define("p:bad parse_packet none=+0(\\1) if none == 0 || none != 0")
        named = session.define('p:named parse_packet name=+0(@type_names):string if name == "ping" && name != "pin"')
        unnamed = session.define('p:unnamed parse_packet name=+0(\\1):string if name == "" || name != ""')
        session.optimize_now()
        session.run()
        assert (named.hits, unnamed.hits) == (len(kinds), 0)
        assert 0 < kinds.count(1) < len(kinds)
        assert (counted.hits, other.hits, bad.hits) == (kinds.count(1), len(kinds) - kinds.count(1), 0)
