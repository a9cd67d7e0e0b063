"""The tables against GNU objdump, LLVM and Capstone. `ARMPROBE_CROSSCHECK_ROUNDS=5` takes five times as many words."""

from __future__ import annotations

import os

import pytest

from armprobe.isa.decoder import find_row, table
from armprobe.verification.crosscheck import A32, PER_ROW, T32, crosscheck, main
from armprobe.verification.decoders import UNPREDICTABLE, VALID, llvm, missing
from armprobe.verification.disagreements import Disagreement
from armprobe.verification.sample import sample, uncovered

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")

ROUNDS = int(os.environ.get("ARMPROBE_CROSSCHECK_ROUNDS", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
@pytest.mark.parametrize(("instruction_set", "least"), [(A32, 2_000_000), (T32, 650_000)])
def test_millions_of_words_are_what_other_decoders_say_or_the_difference_is_explained(instruction_set, least, seed):
    report = crosscheck(PER_ROW[instruction_set], instruction_set=instruction_set, seed=seed)
    assert report.failures == (), "\n".join(report.failures)
    assert report.words >= least


#: executed whatever the block says: LLVM does not want them there
UNCONDITIONAL = {"BKPT_T1", "HLT_T1", "UDF_T1", "UDF_T2"}


@pytest.mark.slow
@pytest.mark.parametrize("it", [0x08, 0x04], ids=["the last of a block", "the first of two"])
def test_what_llvm_forbids_in_an_it_block_the_tables_forbid(it):
    wide = sample([row for row in table(T32) if row.length == 4], 40, seed=1)
    words = [word for word in (*range(0xE800), *wide) if accepts(word)]
    outside, inside = llvm(words, T32), llvm(words, T32, it=it)
    forbidden = [
        word for word, *verdicts in zip(words, outside, inside, strict=True) if verdicts == [VALID, UNPREDICTABLE]
    ]
    missed = {find_row(word, T32).name: hex(word) for word in forbidden if accepts(word, it)}
    assert missed.keys() == UNCONDITIONAL, missed
    assert len(forbidden) > 5_000  # all of B with a condition, of CBZ, and of MOVS


def accepts(word, it=0):
    found = find_row(word, T32)
    return found is not None and found.invalid(word, it) is None


def row(name, instruction_set=A32):
    return next(row for row in table(instruction_set) if row.name == name)


def test_a_difference_without_an_explanation_is_reported_with_a_word():
    report = crosscheck(20, rows=[row("SB_A1")], explained=())  # sb
    assert [line for line in report.unexplained if line.startswith("SB_A1")] == [
        "SB_A1 is valid, capstone: undefined: 1 words, such as 0xf57ff070"
    ]


def test_an_explanation_that_excuses_nothing_is_reported():
    idle = Disagreement("idle", "llvm", "valid", "undefined", "NOP_A1", "tables", "LLVM knows NOP")
    report = crosscheck(20, rows=[row("NOP_A1")], explained=[idle])
    assert report.unused == ("idle",)
    assert "the explanation 'idle' excuses nothing: remove it" in report.failures


def test_an_explanation_covers_only_the_words_its_condition_names():
    rule = ("llvm", "valid", "unpredictable", "AND_register_A1", "tables", "LLVM lets no shifted operand be PC")
    wide, narrow = Disagreement("wide", *rule), Disagreement("narrow", *rule, when="Rm == 15 and Rd == 0")
    assert not any(
        "AND_reg" in line for line in crosscheck(200, rows=[row("AND_register_A1")], explained=[wide]).unexplained
    )
    report = crosscheck(200, rows=[row("AND_register_A1")], explained=[narrow])
    assert any(line.startswith("AND_register_A1 is valid, llvm: unpredictable: ") for line in report.unexplained)


def test_what_a_sample_leaves_out_is_reported():
    mul = row("MUL_A1")
    assert uncovered([mul], {}) == ["MUL_A1: no word"]
    # mul r1, r2, r3; mul sp, r2, r3; mul r1, pc, r3; mul r1, r1, sp
    words = [0xE0010392, 0xE00D0392, 0xE001039F, 0xE0010D91]
    assert uncovered([mul], {"MUL_A1": words}) == ["MUL_A1: Rd pc", "MUL_A1: Rm pc", "MUL_A1: Rm same", "MUL_A1: Rn sp"]


def test_a_sample_is_the_same_each_time_and_stays_within_the_row():
    words = list(sample([row("LDR_immediate_A1")], 500, seed=3))
    assert words == list(sample([row("LDR_immediate_A1")], 500, seed=3))
    assert words != list(sample([row("LDR_immediate_A1")], 500, seed=4))
    assert len(words) == 550
    found = {found.name for found in map(find_row, words[:500]) if found is not None}
    assert found == {"LDR_immediate_A1", "LDR_literal_A1", "LDRT_A1"}


def test_main_tells_what_it_does_and_fails_where_something_is_unexplained(monkeypatch):
    one = {A32: (row("B_A1"),), T32: (row("B_T4", T32),)}
    monkeypatch.setattr("armprobe.verification.crosscheck.table", one.get)
    monkeypatch.setattr("armprobe.verification.crosscheck.PER_ROW", {A32: 50, T32: 60})
    lines = []
    assert main(2, write=lines.append) == 1  # of one row alone, most explanations excuse nothing
    assert lines[:2] == ["A32\n", "sampling 50 words of each of 1 rows\n"]
    assert lines.count(lines[1]) == lines.count("sampling 60 words of each of 1 rows\n") == 2
    assert "seed 2: the explanation 'BFloat16' excuses nothing: remove it\n" in lines
    assert lines[-1].startswith("66 words, ")
