"""The sweep of T32 finds no difference, in and outside of IT blocks, leaves nothing out, and would have noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import Insn
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.itstate import advance
from armprobe.isa.relocate import relocate, relocate_run
from armprobe.isa.steps import Constant, InBlock, Jump, Relocation, Word
from armprobe.verification import sweep
from armprobe.verification.blocks import Place
from armprobe.verification.cases import Case, case_of_run, make_case
from armprobe.verification.compare import Comparison
from armprobe.verification.report import describe

CASES = 60_000  # of which some 50,000 find a valid word that is relocated
SEED = 1
T32 = InstructionSet.T32


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_row_condition_and_operand_class_relocates_without_a_difference() -> None:
    result = sweep.sweep_in_processes(SEED, CASES, T32, jobs=2)

    assert not result.failures, "\n\n".join(result.failures)
    assert not result.ledger.problems(), "\n".join(result.ledger.problems())
    assert result.ledger.executed >= 45_000, result.ledger.summary()


@pytest.mark.slow
def test_a_case_ends_alone_as_it_ends_after_others() -> None:
    after_others = Comparison()
    for number in range(0, 4000, 7):
        case = make_case(SEED, number, T32)
        if case.insn is None or "exception_return" in case.row.effects:
            continue
        try:
            outcome = after_others.run(case)
        except Refused:
            continue
        if number % 70 == 0:
            alone = Comparison().run(case)
            assert (outcome.unprobed, outcome.probed) == (alone.unprobed, alone.probed), describe(case, outcome)


@pytest.mark.slow
def test_cases_stand_in_blocks_of_every_length_at_every_position_with_the_probe_at_it_and_inside() -> None:
    seen = set()
    for number in range(6000):
        case = make_case(SEED, number, T32)
        if len(case.insns) > 1 and case.row.relocate != "it":
            seen.add((len(case.insns) - 1, case.insns.index(case.insn), case.site == 0))
    assert seen == {
        (length, position, from_it)
        for length in (1, 2, 3, 4)
        for position in range(1, length + 1)
        for from_it in (False, True)
    }


def test_one_case_is_shown_with_the_command_that_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    number = next(n for n in range(1000) if len(make_case(SEED, n, T32).insns) > 1)
    assert sweep.main(["--isa", "t32", "--seed", "1", "--case", str(number)]) == 0
    shown = capsys.readouterr().out
    assert f"repeat: python -m armprobe.verification.sweep --isa t32 --seed 1 --case {number}\n" in shown
    assert "instructions, with the probe at 0x" in shown


@pytest.mark.parametrize(("conditions", "word"), [((0,), 0xBF08), ((1, 0), 0xBF14), ((1, 0, 0, 1), 0xBF13)])
def test_a_block_begins_with_the_it_instruction_of_its_conditions(conditions: tuple[int, ...], word: int) -> None:
    assert Place(conditions).it_word == word


# Broken relocations: each leaves out one thing that relocation must do.


def by_steps(change: Callable[[object], object]) -> Callable[..., Relocation]:
    def broken(insn: Insn, address: int) -> Relocation:
        relocation = relocate(insn, address)
        return replace(relocation, steps=tuple(change(step) for step in relocation.steps))

    return broken


def copied_as_it_is(insn: Insn, address: int) -> Relocation:
    return replace(relocate(insn, address), steps=(Word(insn.word, insn.length),))


def pc_not_aligned(insn: Insn, address: int) -> Relocation:
    first, *others = relocate(insn, address).steps
    assert isinstance(first, Constant)
    return replace(relocate(insn, address), steps=(Constant(first.register, first.value + (address & 2)), *others))


def no_thumb_bit(step: object) -> object:
    if isinstance(step, Constant):
        return Constant(step.register, step.value & ~1)
    return step


def jumps_to_a32(step: object) -> object:
    return Jump(step.target & ~3) if isinstance(step, Jump) else step


def without(word: int) -> Callable[[object], object]:
    return lambda step: Word(0xBF00, 2) if isinstance(step, Word) and step.word == word else step


BROKEN = [
    (copied_as_it_is, 0x4904),  # ldr r1, [pc, #16]
    (copied_as_it_is, 0xED9F0B04),  # vldr d0, [pc, #16]
    (copied_as_it_is, 0xB120),  # cbz r0, . + 12
    (copied_as_it_is, 0xE8D3F001),  # tbb [r3, r1]
    (pc_not_aligned, 0x4904),  # ldr r1, [pc, #16]
    (pc_not_aligned, 0xA104),  # adr r1, . + 20
    (by_steps(no_thumb_bit), 0xF000F840),  # bl
    (by_steps(no_thumb_bit), 0x4780),  # blx r0
    (by_steps(no_thumb_bit), 0xE8DFF001),  # tbb [pc, r1]
    (by_steps(jumps_to_a32), 0xE040),  # b
    (by_steps(without(0xF0400001)), 0x448F),  # add pc, r1: orr.w r0, r0, #1
    (by_steps(without(0xBC01)), 0x4479),  # add r1, pc: pop {r0}
    (by_steps(without(0xF8DDD000)), 0xF8DFD010),  # ldr.w sp, [pc, #16]: ldr.w sp, [sp]
]


@pytest.mark.parametrize(("broken", "word"), BROKEN)
def test_a_broken_relocation_differs(broken: Callable[..., Relocation], word: int) -> None:
    cases = [case_of_run((decode(word, T32),), number) for number in range(20)]
    assert not differing(Comparison(), cases)
    assert differing(Comparison(relocate=broken), cases)


RelocateRun = Callable[[Sequence[Insn], int], Sequence[Relocation]]


def flags_set_outside(insns: Sequence[Insn], address: int) -> Sequence[Relocation]:
    """As if a 16-bit instruction meant the same outside of a block."""
    return [
        replace(
            plan,
            steps=tuple(Word(s.word, 2) if isinstance(s, InBlock) else s for s in (*plan.steps, Jump(plan.way_back))),
        )
        for plan in relocate_run(insns, address)
    ]


def first_condition_for_all(insns: Sequence[Insn], address: int) -> Sequence[Relocation]:
    """As if a block had one condition, which is tested once."""
    first, *others = relocate_run(insns, address)
    return [first, *(replace(plan, insn=replace(plan.insn, it=first.insn.it)) for plan in others)]


def last_left_out(insns: Sequence[Insn], address: int) -> Sequence[Relocation]:
    *others, last = relocate_run(insns, address)
    return [*others, replace(last, steps=())]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (flags_set_outside, (0xBF08, 0x1888)),  # it eq; add r0, r1, r2
        (first_condition_for_all, (0xBF0C, 0x3201, 0x3301)),  # ite eq; add r2, #1; add r3, #1
        (last_left_out, (0xBF04, 0x3201, 0x3301)),  # itt eq; add r2, #1; add r3, #1
    ],
)
def test_a_broken_relocation_of_a_block_differs(broken: RelocateRun, words: Sequence[int]) -> None:
    insns, state = [decode(words[0], T32)], words[0] & 0xFF
    for word in words[1:]:
        insns.append(decode(word, T32, it=state))
        state = advance(state)
    cases = [case_of_run(tuple(insns), number) for number in range(30)]
    assert not differing(Comparison(), cases)
    assert differing(Comparison(relocate_run=broken), cases)


def differing(comparison: Comparison, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if comparison.run(case).differences]
