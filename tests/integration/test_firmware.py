"""The sample firmware with a probe on every instruction prints what it prints without, and every count is exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files

import pytest
from tests.integration.every_instruction import Executions, different_bytes, executions, memory, stack_of

import armprobe
from armprobe.session import Session
from armprobe.symbols.image import Image
from armprobe.targets.base import StopReason

SAMPLE = 7
STACK_SIZE = 16 << 10  # demo.ld
pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Unprobed:
    """What the firmware does without probes: executions of its instructions, its output, memory at the end."""

    image: Image
    #: every instruction of every function
    instructions: set[int]
    #: those that can be probed, and why the others can't
    sites: list[int]
    refused: dict[str, str]
    executions: Executions
    output: bytes
    memory: dict[str, bytes]


def start(image: Image, output: bytearray) -> Session:
    return armprobe.emulate(image, arguments=["demo", "200"], output=output.extend)


@pytest.fixture(scope="module")
def unprobed() -> Unprobed:
    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        image = Image.load(elf)
    output = bytearray()
    with start(image, output) as session:
        target, symbols = session.target, session.symbols
        functions = [symbol for symbol in symbols.symbols if symbol.function and symbol.size]
        places = {place for symbol in functions for place in range(symbol.address, symbol.address + symbol.size, 4)}
        with executions(target, symbols.ranges, sample=SAMPLE) as counted:
            assert session.run().reason is StopReason.EXIT
        result = program_memory(session, target.read_memory)
        code = {place for place in places if symbols.is_code(place)}
        refused = {place: reason for place in sorted(code) if (reason := session.explain(place).refused)}
        return Unprobed(
            image,
            code,
            sorted(code - refused.keys()),
            {symbols.describe(place): reason for place, reason in refused.items()},
            counted,
            bytes(output),
            result,
        )


def program_memory(session: Session, read: Callable[[int, int], bytes]) -> dict[str, bytes]:
    """All memory but what lies below SP, on the program's own stack and on the one it had before it set SP."""
    top = session.symbols.named("stack_top")[0].address
    unused = [(top - STACK_SIZE, session.regs.sp), stack_of(session.target)]
    return memory(session.target, read, unused=unused)


def check(session: Session, unprobed: Unprobed, output: bytearray, counts: dict[int, int]) -> None:
    expected = unprobed.executions.hits
    wrong = {
        session.symbols.describe(place): f"counted {number}, executed {expected[place]}"
        for place, number in counts.items()
        if number != expected[place]
    }
    assert wrong == {}
    assert bytes(output) == unprobed.output
    assert different_bytes(unprobed.memory, program_memory(session, session.read_memory)) == []


def test_every_executed_instruction_belongs_to_a_function(unprobed):
    assert set(unprobed.executions.reached) <= unprobed.instructions
    assert len(unprobed.instructions) > 500
    assert sum(unprobed.executions.hits.values()) > 200_000


def test_only_what_lies_in_an_exclusive_sequence_is_refused(unprobed):
    reason = (
        "{} lies between the load-exclusive at ring_put+0x40 and the store-exclusive at ring_put+0x48: "
        "a probe there would make the store fail for ever"
    )
    places = ("ring_put+0x44", "ring_put+0x48")
    assert unprobed.refused == {place: reason.format(place) for place in places}


@pytest.mark.parametrize("optimized", [True, False], ids=["branches", "traps"])
def test_every_instruction_is_counted_exactly(unprobed, optimized):
    output = bytearray()
    with start(unprobed.image, output) as session:
        session.optimization = optimized
        probes = session.count_all(unprobed.sites)
        session.optimize_now()
        assert {(probe.state, probe.reason) for probe in probes} == {("branch" if optimized else "trap", "")}
        assert session.run().reason is StopReason.EXIT
        check(session, unprobed, output, {probe.address: probe.hits for probe in probes})
    assert different_bytes(unprobed.memory, program_memory(session, session.target.read_memory)) == []


@pytest.mark.parametrize("post", [False, True], ids=["before", "before and after"])
def test_host_handlers_see_the_registers_that_the_emulator_has(unprobed, post):
    expected = unprobed.executions.frames
    seen = {place: [] for place in expected}
    behind = []
    output = bytearray()

    def look(hit):
        seen[hit.address].append((*hit.regs.values, hit.regs.cpsr))

    with start(unprobed.image, output) as session:
        probes = []
        for place in expected:
            insn = session.explain(place).insn
            after = behind.append if post and not insn.writes_pc else None
            probes.append(session.probe(place, look, post_handler=after))
        assert session.run().reason is StopReason.EXIT
        check(session, unprobed, output, {probe.address: probe.hits for probe in probes})
        assert len(behind) == sum(probe.hits for probe in probes if probe.post)
    assert [session.symbols.describe(place) for place in expected if seen[place] != expected[place]] == []
    assert different_bytes(unprobed.memory, program_memory(session, session.target.read_memory)) == []
