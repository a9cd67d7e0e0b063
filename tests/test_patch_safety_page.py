"""docs/patch-safety.md says what the code does: its tables and pictures are made from it.

`UPDATE_DOCS=1 pytest tests/test_patch_safety_page.py` writes them anew.
"""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from armprobe.cli.patch_text import parse
from armprobe.isa.instruction_set import InstructionSet
from armprobe.patching import classify
from armprobe.verification.patchmodel.catalogue import CATALOGUE, Entry
from armprobe.verification.patchmodel.explore import check
from armprobe.verification.patchmodel.litmus import SHAPES, WEAKER
from armprobe.verification.patchmodel.mutate import EXPLAINED
from armprobe.verification.patchmodel.trace import picture

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "patch-safety.md"
IMAGES = ROOT / "docs" / "images"
UPDATE = os.environ.get("UPDATE_DOCS") == "1"

A32, T32 = InstructionSet.A32, InstructionSet.T32
#: from, to, what it is for
CHANGES = [
    (A32, "e92d4010", "udf #0x18", "arm, with the trap of Linux"),
    (A32, "e92d4010", "bkpt", "arm"),
    (A32, "bl 0x9000", "bkpt", "arm where the program has a call"),
    (A32, "nop", "b 0x9000", "a no-operation that was left for this"),
    (A32, "e1a00000", "b 0x9000", "the same with `mov r0, r0`, which is no NOP"),
    (A32, "udf #0x18", "b 0x9000", "optimize, with the trap of Linux"),
    (A32, "bkpt", "b 0x9000", "optimize"),
    (A32, "bkpt", "bne 0x9000", "optimize a conditional instruction"),
    (A32, "b 0x9000", "b 0x9040", "park"),
    (A32, "bne 0x9000", "b 0x9000", "the condition alone"),
    (A32, "bne 0x9000", "b 0x9040", "condition and target"),
    (A32, "b 0x9000", "bkpt", "unoptimize"),
    (A32, "b 0x9000", "e92d4010", "disarm"),
    (A32, "b 0x9000", "f57ff06f", "to ISB, about which the texts disagree"),
    (A32, "b 0x9000", "e12fff1e", "to `bx lr`"),
    (T32, "b510", "bkpt", "arm"),
    (T32, "bkpt", "b 0x8010", "optimize: 16-bit branch to an island"),
    (T32, "b 0x8010", "b 0x8020", "park"),
    (T32, "bf00", "b 0x8010", "a 16-bit NOP"),
    (T32, "nop.w", "b.w 0x9000", "a 32-bit NOP is in no list"),
    (T32, "f8d0 0004", "b.w 0x9000", "a branch over a 32-bit instruction"),
    (T32, "be00 bffe", "b.w 0x9000", "the first half of B.W is in no list"),
    (T32, "be00 fffe", "bl 0x9000", "BL, whose second half is there already"),
    (T32, "b.w 0x9000", "b.w 0x8ff0", "retarget, within 4 KiB of offsets"),
    (T32, "b.w 0x9000", "b.w 0x9040", "retarget, further"),
    (T32, "bl 0x9000", "bl 0x9040", "both halves are listed, and yet"),
    (T32, "bl 0x9000", "blx 0x9000", "the second half from BL to BLX"),
]  # fmt: skip

WRITE = re.compile(r"\bwrite_(memory|all|many)$|breakpoints.*\.(insert|remove)$")
#: modules that write memory of the target or have it set traps, and what they write
WRITERS = {
    "patching/execute.py": ("text", "the steps of a plan: slots, sites, islands, traps; and the way back if one fails"),
    "patching/slots.py": ("memory for slots", "marks that say whose it is; at the end what stood there before"),
    "probes/asking.py": ("memory for slots", "the routine by which threads of a process ask for handlers"),
    "probes/astray.py": (
        "traps, memory for slots",
        "on boards, traps at the program's handlers of exceptions while it runs; the return from an exception",
    ),
    "probes/callers.py": ("data", "return addresses, where pads of return probes stand for them"),
    "probes/common_stop.py": (
        "memory for slots, traps",
        "the place where all detours stop: written and trapped once; no write to the program",
    ),
    "probes/copies.py": ("text", "copies of code that the program made with probes in it: its own words again"),
    "probes/in_place.py": (
        "memory for slots",
        "what an earlier session left in place, once nothing points there any more",
    ),
    "probes/instruments.py": ("data", "counters, rings and maps of compiled handlers, set to zero"),
    "probes/latencies.py": ("data", "times of calls, in target memory, set to zero"),
    "probes/leaving.py": ("text", "traps in slots, where the target sets traps itself: taken away as slots are freed"),
    "probes/maps.py": ("data", "maps of compiled handlers"),
    "probes/probe.py": ("what a handler asks for", "`hit.write`, through `probes/program.py`"),
    "probes/program.py": ("what a user asks for", "memory of the program; refused where a probe has changed code"),
    "probes/readable_memory.py": ("memory for slots", "the routine by which handlers on boards read memory"),
    "probes/recovery.py": (
        "text, memory for slots",
        "what a session that was killed left: by plans, the memory it used, the traps it had the target set",
    ),
    "probes/returns.py": ("data", "tables of return probes; their traps, taken away at the end"),
    "probes/spare_memory.py": ("unused memory", "whether it keeps a word, at its start and end; the old words again"),
    "session/session.py": ("what a user asks for", "`Session.write_memory`, through `probes/program.py`"),
}


def classifications() -> str:
    rows = ["| set | old | new | verdict | what for, and the rule |", "|---|---|---|---|---|"]
    for isa, old, new, purpose in CHANGES:
        codes = [parse(text, isa=isa, address=0x8000) for text in (old, new)]
        found = classify(codes[0], codes[1] + codes[0][len(codes[1]) :], isa=isa)
        rows.append(f"| {isa.value} | `{old}` | `{new}` | {found.change.name} | {purpose}: {found.rule} |")
    return "\n".join(rows)


def accepted() -> str:
    rows = ["| | protocol | states, 2 processors × 2 passes |", "|---|---|---|"]
    for name, entry in CATALOGUE.items():
        if not entry.breaks:
            result = check(entry.protocol)
            assert result.safe
            rows.append(f"| {name} | {entry.protocol.summary} | {result.states:,} |")
    return "\n".join(rows)


def rejected() -> str:
    rows = ["| | protocol | breaks | how | run |", "|---|---|---|---|---|"]
    for name, entry in CATALOGUE.items():
        if entry.breaks:
            violation = check(entry.protocol).violation
            assert violation is not None
            rows.append(
                f"| {name} | {entry.protocol.summary} | {entry.breaks} | {violation.text} | "
                f"[picture](images/patch-{name.lower()}.svg) |"
            )
    return "\n".join(rows)


def explained() -> str:
    return "\n".join(
        ["| left out | why nothing breaks |", "|---|---|", *(f"| {a} | {b} |" for a, b in EXPLAINED.items())]
    )


def weaker() -> str:
    forbidden = sum(not shape.allowed for shape in SHAPES)
    lead = f"{len(SHAPES)} shapes, {len(SHAPES) - forbidden} allowed and {forbidden} forbidden by the architecture."
    rows = [f"| {name} | {reason} |" for name, reason in WEAKER.items()]
    return "\n".join([lead, "", "| shape that only the model allows | why |", "|---|---|", *rows])


def writers() -> str:
    rows = [f"| `{module}` | {kind} | {what} |" for module, (kind, what) in WRITERS.items()]
    return "\n".join(["| module | writes | what |", "|---|---|---|", *rows])


BLOCKS = {
    "classification": classifications,
    "accepted": accepted,
    "rejected": rejected,
    "explained": explained,
    "calibration": weaker,
    "writers": writers,
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_table_is_that_of_the_code(name):
    page = PAGE.read_text()
    block = re.compile(rf"(<!-- {name}: made by a test -->\n)(.*?)(\n<!-- end -->)", re.DOTALL)
    found = block.search(page)
    assert found is not None, f"{PAGE.name} has no block {name}"
    expected = BLOCKS[name]()
    if UPDATE:
        PAGE.write_text(block.sub(lambda match: match[1] + expected + match[3], page))
    else:
        assert found[2] == expected


def image_of(name: str, entry: Entry) -> str:
    return picture(check(entry.protocol), f"{name}: {entry.protocol.summary}")


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.breaks])
def test_a_picture_shows_the_run_that_the_checker_finds(name):
    path = IMAGES / f"patch-{name.lower()}.svg"
    expected = image_of(name, CATALOGUE[name])
    if UPDATE:
        path.write_text(expected)
    assert path.read_text() == expected
    assert ET.fromstring(expected).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  our own


def test_no_picture_is_left_over():
    assert {path.name for path in IMAGES.glob("patch-*.svg")} == {
        f"patch-{name.lower()}.svg" for name, entry in CATALOGUE.items() if entry.breaks
    }


def test_every_module_that_writes_to_a_target_is_listed():
    """Of the engine: targets themselves, and the programs around the engine, write what they are told."""
    source = ROOT / "src" / "armprobe"
    found = set()
    for path in sorted(source.rglob("*.py")):
        module = path.relative_to(source).as_posix()
        if module.split("/")[0] not in ("targets", "verification", "cli"):
            calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            if any(
                re.search(r"\bwrite_(memory|all|many)$|breakpoints.*\.(insert|remove)$", ast.unparse(c)) for c in calls
            ):
                found.add(module)
    assert found == set(WRITERS)
