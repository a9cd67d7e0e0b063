"""`armprobe explain`, as a person and as a program sees it."""

from __future__ import annotations

import json

from tests.cli.conftest import EXIT


def test_a_place_that_can_have_a_branch(run, demo):
    outcome = run("explain", demo, "memcpy")
    assert (outcome.status, outcome.err) == (0, "")
    (report,) = json.loads(run("explain", demo, "memcpy", "--json").out)
    detour = report["detour"]
    planting = "only under a stop: the old word 0xe3520000 is not B, BL, NOP, BKPT, SVC, HVC or SMC (DDI 0406C A3.5.4)"
    head, _, listing = outcome.out.partition(" instructions added to each hit\n")
    assert head.splitlines() == [
        "memcpy at 0x00008038",
        "  source      start.c:20",
        "  function    void *memcpy(void *to, void *from, size_t length)",
        "  names       void *to       r0",
        "              void *from     r1",
        "              size_t length  r2",
        "              uint8_t *out   r0",
        "              uint8_t *in    r1",
        "  original    e3520000  cmp r2, #0",
        "  relocation  verbatim",
        "  window      4 bytes",
        "  trap        e125be70  bkpt #0x5be0",
        f"  branch      {report['branch'][0]['word']}  b #{int(detour['address'], 16):#x}",
        f"  planting    {planting}",
        "  upgrading   while the target runs: BKPT and B are both listed (DDI 0406C A3.5.4)",
        "  state       would be a branch",
        f"  detour      {detour['size']} bytes at {detour['address']}; {report['instructions_added']}",
    ]
    assert [line.split() for line in listing.splitlines()] == [
        [line["address"][2:], line["word"], *line["text"].split(), *line["comment"].split()]
        for line in detour["listing"]
    ]


def test_the_listing_is_what_is_executed(run, demo):
    """The branch leads to its first word, and its last ones are the displaced instruction and the way back."""
    (report,) = json.loads(run("explain", demo, "memcpy", "--json").out)
    assert report["original"] == [{"word": "e3520000", "text": "cmp r2, #0"}]
    assert report["trap"] == [{"word": "e125be70", "text": "bkpt #0x5be0"}]
    assert (report["kind"], report["reason"], report["row"]) == ("branch", "", "CMP_immediate_A1")
    assert (report["relocation"], report["window"]) == ("verbatim", 4)
    assert (report["planting"]["change"], report["upgrading"]["change"]) == ("stop", "live")
    detour = report["detour"]
    base = int(detour["address"], 16)
    branch = int(report["branch"][0]["word"], 16)
    assert branch >> 24 == 0xEA
    assert 0x8038 + 8 + (branch & 0xFFFFFF) * 4 == base
    assert detour["size"] == 4 * len(detour["listing"])
    assert [line["address"] for line in detour["listing"]] == [
        f"0x{address:08x}" for address in range(base, base + detour["size"], 4)
    ]
    assert [(line["text"], line["comment"]) for line in detour["listing"][-2:]] == [
        ("cmp r2, #0", "displaced"),
        ("b #0x803c", "back to 0x0000803c"),
    ]
    # the branch at the site is added, the displaced instruction is not
    assert report["instructions_added"] == len(detour["listing"])


def test_an_instruction_that_is_refused_is_an_answer(run, binary):
    code = binary(
        0xE1901F9F,  # 8000: ldrex r1, [r0]
        0xE2811001,  # 8004: add r1, r1, #1
        0xE1802F91,  # 8008: strex r2, r1, [r0]
        *EXIT,
    )
    outcome = run("explain", code, "--base", "0x8000", "0x8004")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == (
        "0x00008004\n"
        "  original    e2811001  add r1, r1, #1\n"
        "  refused     0x00008004 lies between the load-exclusive at 0x00008000 and the store-exclusive at 0x00008008: "
        "a probe there would make the store fail for ever\n"
        "  help        probe the load-exclusive itself, or an instruction after the store\n"
    )
    (report,) = json.loads(run("explain", code, "--base", "0x8000", "0x8004", "--json").out)
    assert (report["kind"], report["detour"], report["planting"]) == ("refused", None, None)


def test_several_places_are_separated_by_an_empty_line(run, demo):
    blocks = run("explain", demo, "malloc", "free+4").out.split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == ["malloc at 0x0000898c", "free+0x4 at 0x00008a60"]


def test_a_pattern_for_several_places_is_an_error(run, demo):
    outcome = run("explain", demo, "print_*")
    assert (outcome.status, outcome.out, outcome.err) == (2, "", (
        "error[AP100]: 'print_*' stands for 2 places, and one is wanted\n"
        "help: `armprobe list` shows many\n"
    ))  # fmt: skip
