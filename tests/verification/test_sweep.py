"""The sweep finds no difference, leaves nothing out, and would have noticed: broken relocations are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from armprobe.isa.decoder import decode
from armprobe.isa.insn import ALWAYS, Insn, condition_holds
from armprobe.isa.relocate import relocate
from armprobe.isa.steps import Constant, Relocation, Word
from armprobe.verification import ledger, sweep
from armprobe.verification.cases import case_of, make_case
from armprobe.verification.compare import Comparison
from armprobe.verification.layout import COPIES
from armprobe.verification.report import describe

CASES = 232_000  # of which more than 200,000 find a valid word that is relocated
SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute and a half of processor time
def test_every_row_condition_and_operand_class_relocates_without_a_difference() -> None:
    result = sweep.sweep_in_processes(SEED, CASES, jobs=2)

    assert not result.failures, "\n\n".join(result.failures)
    assert not result.ledger.problems(), "\n".join(result.ledger.problems())
    assert result.ledger.executed >= 200_000, result.ledger.summary()


def test_a_case_follows_from_its_seed_and_number() -> None:
    assert make_case(5, 1234) == make_case(5, 1234)
    assert make_case(5, 1234).state != make_case(6, 1234).state


def test_a_case_ends_alone_as_it_ends_after_others() -> None:
    after_others = Comparison()
    for number in range(400):
        case = make_case(SEED, number)
        if case.insn is None or case.row.relocate == "refuse" or "exception_return" in case.row.effects:
            continue
        outcome = after_others.run(case)
        if number % 40 == 0:
            alone = Comparison().run(case)
            assert (outcome.unprobed, outcome.probed) == (alone.unprobed, alone.probed), describe(case, outcome)


def test_a_sweep_that_is_too_short_says_what_it_left_out() -> None:
    problems = sweep.sweep(SEED, range(20)).ledger.problems()

    assert "LDR_literal_A1: never exercised" in problems
    assert (
        "LDR_literal_A1: conditions never exercised: eq, ne, cs, cc, mi, pl, vs, vc, hi, ls, ge, lt, gt, le, al"
        in problems
    )
    assert "LDR_literal_A1: operand class never tried: Rt=pc" in problems


def test_a_row_that_never_completes_needs_an_exclusion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ledger.EXCLUSIONS, "SVC_[AT]1")
    numbers = [number for number in range(3000) if make_case(SEED, number).row.name == "SVC_A1"]

    assert "SVC_A1: never completed, and no exclusion says why" in sweep.sweep(SEED, numbers).ledger.problems()


def test_an_exclusion_that_excludes_nothing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ledger.EXCLUSIONS, "AND_register_A1", "a reason")
    monkeypatch.setitem(ledger.EXCLUSIONS, "no_such_row", "another reason")
    problems = sweep.sweep(SEED, range(30)).ledger.problems()

    assert "exclusion 'AND_register_A1' (a reason) excludes nothing" in problems
    assert "exclusion 'no_such_row' (another reason) excludes nothing" in problems


def test_one_case_is_shown_with_the_command_that_repeats_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["--seed", "1", "--case", "100"]) == 0
    shown = capsys.readouterr().out
    assert "repeat: python -m armprobe.verification.sweep --seed 1 --case 100\n" in shown
    assert "before           unprobed             probed\n" in shown


# Broken relocations: each leaves out one thing that relocation must do.

Relocate = Callable[[Insn, int], Relocation]


def with_words(change: Callable[[int], int]) -> Relocate:
    """Relocate, then change the words of a copy that is not verbatim."""

    def broken(insn: Insn, address: int) -> Relocation:
        relocation = relocate(insn, address)
        changed = [Word(change(step.word)) if isinstance(step, Word) else step for step in relocation.steps]
        return relocation if relocation.verbatim else replace(relocation, steps=tuple(changed))

    return broken


def pc_of_the_instruction_before(insn: Insn, address: int) -> Relocation:
    return replace(relocate(insn, address - 4), address=address)


def copied_as_it_is(insn: Insn, address: int) -> Relocation:
    return replace(relocate(insn, address), steps=(Word(insn.word),), verbatim=False)


def returns_into_the_copy(insn: Insn, address: int) -> Relocation:
    return replace(relocate(insn, address), steps=(Constant(14, COPIES), *relocate(insn, address).steps[1:]))


def sp_built_up_in_halves(insn: Insn, address: int) -> Relocation:
    return replace(relocate(insn, address), steps=(Constant(13, address + 8 + (insn.word & 0xFF)),))


def flags_lost(word: int) -> int:
    return word & ~(1 << 20) if word & 0x0FE00000 == 0x00800000 else word  # adds: add


def flags_set_by_our_own_step(word: int) -> int:
    return word | 1 << 20 if word & 0x0FFFF000 == 0x024DD000 else word  # sub sp, sp, #: subs


def spill_below_sp(word: int) -> int:
    changed = {0xE52D1004: 0xE50D1004, 0xE49D1004: 0xE51D1004}  # push {r1}: str r1, [sp, #-4]; pop {r1}: ldr
    return changed.get(word, word)


def scratch_not_restored(word: int) -> int:
    return 0xE28DD004 if word == 0xE49D1004 else word  # pop {r1}: add sp, sp, #4


def spill_not_counted(word: int) -> int:
    return word & ~0xFF if word & 0x0FFFF000 == 0x028D1000 else word  # add r1, sp, #12: add r1, sp, #0


BROKEN = [
    (pc_of_the_instruction_before, 0xE59F1010),  # ldr r1, [pc, #16]
    (copied_as_it_is, 0xE08F1002),  # add r1, pc, r2
    (copied_as_it_is, 0xED9F0B04),  # vldr d0, [pc, #16]
    (copied_as_it_is, 0xE581F004),  # str pc, [r1, #4]
    (returns_into_the_copy, 0xEB000040),  # bl
    (sp_built_up_in_halves, 0xE28FD008),  # add sp, pc, #8
    (with_words(flags_lost), 0xE09F1002),  # adds r1, pc, r2
    (with_words(flags_set_by_our_own_step), 0xE92DD800),  # push {fp, ip, lr, pc}
    (with_words(spill_below_sp), 0xE79F0100),  # ldr r0, [pc, r0, lsl #2]
    (with_words(scratch_not_restored), 0xE79F0100),  # ldr r0, [pc, r0, lsl #2]
    (with_words(spill_not_counted), 0xE08DD00F),  # add sp, sp, pc
]


@pytest.mark.parametrize(("broken", "word"), BROKEN)
def test_a_broken_relocation_differs(broken: Relocate, word: int) -> None:
    cases = [case_of(decode(word), number) for number in range(20)]

    right, wrong = Comparison(), Comparison(relocate=broken)
    assert not any(right.run(case).differences for case in cases)
    assert any(wrong.run(case).differences for case in cases)


def test_a_lost_condition_differs() -> None:
    insn = decode(0x01A0E00F)  # moveq lr, pc
    cases = [case_of(insn, number) for number in range(50)]
    not_taken = [case for case in cases if not condition_holds(insn.cond, case.state.cpsr)]

    comparison = Comparison()
    assert not_taken
    assert not any(comparison.run(case).differences for case in not_taken)
    assert all(comparison.run(replace(case, cond=ALWAYS)).differences for case in not_taken)


def test_a_sweep_stops_at_a_broken_relocation_and_says_how_to_repeat_it() -> None:
    result = sweep.sweep(SEED, range(4000), relocate=pc_of_the_instruction_before)

    assert len(result.failures) == sweep.ENOUGH
    for failure in result.failures:
        lines = failure.splitlines()
        assert lines[1].startswith("repeat: python -m armprobe.verification.sweep --seed 1 --case ")
        assert any(line.startswith("* ") for line in lines)


def test_a_load_of_the_own_word_through_a_register_offset_is_told_apart():
    """Where the offset is in a register nobody can refuse it: the instruction finds the probe in its place."""
    result = sweep.sweep(1, [1962325, 4839606])
    assert result.failures == []
    assert sum(row.own_word for row in result.ledger.rows.values()) == 2
