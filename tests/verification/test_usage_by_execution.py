"""The usage columns of all rows against Unicorn, and wrong rows that this must find."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from armprobe.isa import itstate
from armprobe.isa.decoder import table
from armprobe.isa.instruction_set import InstructionSet
from armprobe.isa.rows import Row, TableBuilder
from armprobe.isa.t32 import derived
from armprobe.verification.usage import NOT_EXECUTED, UNICORN_IS_WRONG, check_usage, valid_words

#: rows Unicorn 2.1 cannot execute
UNKNOWN = {
    r"V(SEL|MAXNM|MINNM|RINT_directed_floating|CVT_directed_floating)_[AT]\d_half": "FEAT_FP16 is missing",
    r"(VMOVX|VINS|VMOV_core_to_half|VMOV_half_to_core|VCVT_fixed_half)_[AT]1": "FEAT_FP16 is missing",
    r".*_BFloat16_.*|VFMAB_VFMAT_scalar_[AT]1": "FEAT_AA32BF16 is missing",
    r"(VSMMLA_VUMMLA|VUSMMLA|VUSDOT|VUSDOT_VSUDOT_element)_[AT]1": "FEAT_AA32I8MM is missing",
    r"YIELD_[AT][12]": "it leaves the emulation loop",
}


#: the last instruction of an IT block, with the condition "always"
LAST_OF_ALWAYS = itstate.start(14, 0b1000)
OWN_OF_T32 = [row for row in table(InstructionSet.T32) if row not in derived.ROWS]


@pytest.mark.slow
@pytest.mark.parametrize("instruction_set", InstructionSet)
def test_every_row_reads_and_writes_what_it_says(instruction_set: InstructionSet) -> None:
    rows = table(instruction_set)
    report = check_usage(valid_words(rows, 20))

    assert not report.unexplained, "\n".join(map(str, report.unexplained))
    explained = {finding.row for finding in report.findings}
    assert all(any(re.fullmatch(row, name) for name in explained) for row, _ in UNICORN_IS_WRONG), "it is right by now"

    executable = {row.name for row in rows if not row.effects & NOT_EXECUTED.keys()}
    missed = executable - report.executed.keys()
    assert {name for name in missed if not any(re.fullmatch(known, name) for known in UNKNOWN)} == set()
    assert {known for known in UNKNOWN if not any(re.fullmatch(known, name) for name in missed)} == set()


@pytest.mark.slow
def test_every_row_of_t32_reads_and_writes_in_an_it_block_what_it_says() -> None:
    # Unicorn does not stop behind a branch that ends an IT block
    cases = [
        (row, word)
        for row, word in valid_words(OWN_OF_T32, 20, it=LAST_OF_ALWAYS)
        if not row.usage(word, LAST_OF_ALWAYS).writes >> 15 & 1
    ]
    report = check_usage(cases, it=LAST_OF_ALWAYS)
    assert not report.findings, "\n".join(map(str, report.findings))
    missed = {row.name for row, _ in cases} - report.executed.keys()
    assert missed <= {"YIELD_T1", "YIELD_T2"}
    without_flags = {row.name for row in OWN_OF_T32 if "not in_it" in (row.flags_written or "")}
    assert len(without_flags) > 20
    assert without_flags <= report.executed.keys()


#: what a hint reads changes nothing
NOT_NEEDED = r"(PLDW?|PLI)_.*"


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "least"), [(table(), 700), (OWN_OF_T32, 400)], ids=["A32", "T32"])
def test_every_register_listed_as_read_is_missed_when_it_is_left_out(rows: Sequence[Row], least: int) -> None:
    # the columns list enough; this says that they do not list more, and that the check would notice if they listed less
    cases = []
    for row, word in valid_words(rows, 12, seed=2):
        for column in ("reads", "vreads", "flags_read"):
            for term, rest in without_each_term(getattr(row, column) or ""):
                name = f"{row.name} without {term} in {column}"
                shorter = replace(row, name=name, _compiled={}, **{column: rest})
                if shorter.usage(word) != row.usage(word):
                    cases.append((shorter, word))
    report = check_usage(cases, states=12)
    words = Counter(row.name for row, _ in cases)
    found = {finding.row for finding in report.findings}
    judged = {name for name in report.executed if words[name] >= 4 and not re.fullmatch(NOT_NEEDED, name)}
    assert len(found) > least
    assert judged <= found, "\n".join(sorted(judged - found))


def without_each_term(column: str) -> Iterator[tuple[str, str]]:
    """Each term of a column with the column that is left without it."""
    parts = [part.partition(" if ") for part in column.split(";")]
    for n, (terms, _, _) in enumerate(parts):
        for m, term in enumerate(terms.split()):
            rest = [*terms.split()[:m], *terms.split()[m + 1 :]]
            changed = [*parts[:n], (" ".join(rest), *parts[n][1:]), *parts[n + 1 :]]
            yield term, ";".join("".join(part) for part in changed if part[0].strip())


ADD = "cond:4 00101000 Rn:4 Rd:4 000000000001"  # add rd, rn, #1
ADC = "cond:4 00101010 Rn:4 Rd:4 000000000001"  # adc rd, rn, #1
ADDS = "cond:4 00101001 Rn:4 Rd:4 000000000001"  # adds rd, rn, #1
VADD = "111100100 D:1 000000 Vd:4 1101 0 1 0 0 0010"  # vadd.f32 qd, q0, q1
VLDR = "cond:4 11011001 Rn:4 Vd:4 1010 00000001"  # vldr s(2 * vd), [rn, #4]
STR = "cond:4 01010000 1101 Rt:4 000000001000"  # str rt, [sp, #-8]
NOTHING = {"reads": "", "writes": "", "flags_read": "", "flags_written": "", "memory": "none"}


@pytest.mark.parametrize(
    ("pattern", "columns", "problem"),
    [
        (ADD, {"reads": "Rn"}, r"writes r\d+"),
        (ADD, {"writes": "Rd"}, r"r\d+ depends on what is not listed as read"),
        (ADD, {"reads": "Rn", "writes": "Rd r7"}, r"r7 depends on what is not listed as read"),
        (ADC, {"reads": "Rn", "writes": "Rd"}, r"r\d+ depends on what is not listed as read"),
        (ADDS, {"reads": "Rn", "writes": "Rd", "flags_written": "NZV"}, r"writes flag C"),
        (ADDS, {"writes": "Rd", "flags_written": "NZCV"}, r"(r\d+|flag .) depends on what is not listed as read"),
        (ADD, {"reads": "Rn", "writes": "Rd", "flags_written": "Q"}, r"flag Q depends on what is not listed as read"),
        (VADD, {"vwrites": "Qd", "vreads": "D[0] D[1] D[2]"}, r"word . of d\d+ depends on what is not listed as read"),
        (VADD, {"vwrites": "Dd", "vreads": "D[0]*4"}, r"writes .*"),
        (VADD, {"vwrites": "Qd", "vreads": "D[0]*4", "effects": ""}, r"writes FPSCR: .*"),
        (VLDR, {"reads": "Rn", "memory": "load"}, r"writes s\d+"),
        (VLDR, {"reads": "Rn", "vwrites": "S[2*Vd]", "memory": "none"}, r"loads"),
        (VLDR, {"vwrites": "S[2*Vd]", "memory": "load"}, r"the address .* depends on what is not listed as read"),
        (STR, {"reads": "sp Rt", "memory": "load"}, r"stores"),
        (STR, {"reads": "sp", "memory": "store", "stack": "8"}, r"a store depends on what is not listed as read"),
        (STR, {"reads": "sp Rt", "memory": "store", "stack": "4"}, r"stores 8 bytes below sp, not 4"),
        (STR, {"reads": "sp Rt", "memory": "store", "stack": "12"}, r"stores 8 bytes below sp, not 12"),
    ],
)
def test_a_wrong_row_is_found(pattern: str, columns: dict[str, str], problem: str) -> None:
    builder = TableBuilder()
    limits = {"unpredictable": "Rd == 15; Rn == 15"} if "Rd" in pattern else {}
    limits |= {"unpredictable": "Rn == 15"} if pattern == VLDR else {}
    limits |= {"unpredictable": "Rt == 15"} if pattern == STR else {}
    limits |= {"undefined": "Vd & 1"} if pattern == VADD else {}
    effects = {"effects": "fpscr_read fpscr_write"} if pattern == VADD else {}
    builder.row("ROW", pattern, relocate="verbatim", **{**NOTHING, **limits, **effects, **columns})  # type: ignore[arg-type]
    findings = check_usage(valid_words(builder.rows, 16)).findings
    assert findings, "no problem was found"
    for finding in findings:
        assert re.fullmatch(problem, finding.problem), f"{finding}, not {problem}"


def test_a_finding_names_the_row_the_word_and_the_problem() -> None:
    builder = TableBuilder()
    builder.row("ADD", "1110 00101000 0001 0010 000000000001", relocate="verbatim", **{**NOTHING, "reads": "r1"})
    assert [str(finding) for finding in check_usage(valid_words(builder.rows, 1)).findings] == [
        "ADD 0xe2812001: writes r2"
    ]
