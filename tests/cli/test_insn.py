"""`armprobe insn`, as a person and as a program sees it."""

from __future__ import annotations

import json
import sys

import pytest

from armprobe.cli import disassembly
from armprobe.cli.main import main


@pytest.fixture
def insn(capsys):
    def run(*arguments: str) -> str:
        assert main(["insn", *arguments]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


@pytest.fixture
def without_capstone(monkeypatch):
    monkeypatch.setitem(sys.modules, "capstone", None)
    disassembly._disassembler.cache_clear()
    yield
    disassembly._disassembler.cache_clear()


def test_a_verbatim_instruction(insn):
    assert insn("e92d41f0") == (
        "e92d41f0  push {r4, r5, r6, r7, r8, lr}\n"
        "  row         STMDB_A1 (DDI 0406C A5.5)\n"
        "  reads       r4 r5 r6 r7 r8 sp lr\n"
        "  writes      sp\n"
        "  flags       reads nothing; writes nothing\n"
        "  memory      stores; writes below sp: 24 bytes\n"
        "  relocation  verbatim\n"
    )


def test_a_rewritten_instruction_shows_its_steps(insn):
    assert insn("0xe59f1010", "--at", "0x10000") == (
        "e59f1010  ldr r1, [pc, #0x10]\n"
        "  row         LDR_literal_A1 (DDI 0406C A5.3)\n"
        "  reads       pc\n"
        "  writes      r1\n"
        "  flags       reads nothing; writes nothing\n"
        "  memory      loads; writes below sp: nothing\n"
        "  relocation  rewritten\n"
        "              | r1 := 0x00010008\n"
        "              | ldr r1, [r1, #0x10]\n"
        "              | go on at 0x00010004\n"
    )


def test_a_conditional_branch_shows_when_and_where_it_goes(insn):
    assert insn("0afffffe") == (
        "0afffffe  beq #0x8000\n"
        "  row         B_A1 (DDI 0406C A5.5)\n"
        "  reads       pc\n"
        "  writes      pc\n"
        "  flags       reads Z; writes nothing\n"
        "  memory      untouched; writes below sp: nothing\n"
        "  relocation  rewritten, reached if eq\n"
        "              | go on at 0x00008000\n"
    )


def test_words_without_a_row_are_answered_like_any_other(insn):
    assert insn("ffffffff", "e1a00000").splitlines()[:4] == [
        "ffffffff  no A32 instruction",
        "  relocation  refused: 0xffffffff matches no A32 instruction",
        "",
        "e1a00000  mov r0, r0",
    ]


def test_without_capstone_the_row_stands_for_the_text(insn, without_capstone):
    assert insn("e92d41f0").splitlines()[0] == "e92d41f0  STMDB_A1"
    assert json.loads(insn("e92d41f0", "--json"))[0]["text"] is None


def test_json_of_a_verbatim_instruction(insn):
    assert json.loads(insn("--json", "e0b10002")) == [  # adcs r0, r1, r2
        {
            "word": "0xe0b10002",
            "row": "ADC_register_A1",
            "text": "adcs r0, r1, r2",
            "condition": "",
            "relocation": "verbatim",
            "reason": "",
            "reads": ["r1", "r2"],
            "writes": ["r0"],
            "flags_read": ["C"],
            "flags_written": ["N", "Z", "C", "V"],
            "memory": [],
            "stack_bytes": 0,
            "effects": [],
        }
    ]


def test_json_of_refused_words(insn):
    undefined, unpredictable, refused = json.loads(insn("--json", "ffffffff", "e4900004", "e7f000f0"))
    assert (undefined["row"], undefined["relocation"]) == (None, "refused")
    assert undefined["reason"] == "0xffffffff matches no A32 instruction"
    assert (undefined["reads"], undefined["writes"], undefined["stack_bytes"]) == ([], [], None)
    assert (unpredictable["row"], unpredictable["relocation"]) == ("LDR_immediate_A1", "refused")
    assert unpredictable["reason"] == "0xe4900004 is UNPREDICTABLE (LDR_immediate_A1: wback and Rn == Rt)"
    assert (refused["row"], refused["relocation"]) == ("UDF_A1", "refused")
    assert refused["reads"][-1] == "pc"


def test_vector_registers_are_named_single_double_or_upper_double(insn):
    reports = json.loads(insn("--json", "ee300a21", "ed9f0b04", "f2600d00"))
    assert [(report["text"], report["reads"], report["writes"]) for report in reports] == [
        ("vadd.f32 s0, s0, s3", ["s0", "s3"], ["s0"]),
        ("vldr d0, [pc, #0x10]", ["pc"], ["d0"]),
        ("vsub.f32 d16, d0, d0", ["d0"], ["d16"]),
    ]


@pytest.mark.parametrize("word", ["zz", "1234567890", "", "0x", "-1", "e59f_1010"])
def test_what_is_no_word_is_a_usage_error(word, capsys):
    assert main(["insn", "--", word]) == 2
    assert capsys.readouterr().err == (
        f"error[AP100]: wanted an instruction word of at most 8 hexadecimal digits, got {word!r}\n"
        "help: for example e59f1010\n"
    )


def test_an_address_that_is_no_multiple_of_four_is_a_usage_error(capsys):
    assert main(["insn", "e1a00000", "--at", "0x8002"]) == 2
    assert capsys.readouterr().err == "error[AP100]: A32 code stands at multiples of 4, and 0x00008002 is none\n"


def test_no_words_are_a_usage_error(capsys):
    assert main(["insn"]) == 2
    assert capsys.readouterr().err == (
        "error[AP100]: Missing argument 'WORD...'\nhelp: `armprobe insn --help` shows what it takes\n"
    )


# T32


def test_an_instruction_of_t32(insn):
    assert insn("--isa", "t32", "b510").splitlines() == [
        "b510  push {r4, lr}",
        "  row         PUSH_T1 (DDI 0406C A6.2.5)",
        "  reads       r4 sp lr",
        "  writes      sp",
        "  flags       reads nothing; writes nothing",
        "  memory      stores; writes below sp: 8 bytes",
        "  relocation  verbatim",
    ]


def test_a_t32_instruction_that_reads_pc_is_rewritten_as_in_a32(insn):
    # ldr r1, [pc, #8]; cbz r1, .+8
    assert [line for line in insn("--isa", "t32", "4902", "b111").splitlines() if " | " in line] == [
        "              | r1 := 0x0000800c",
        "              | ldr r1, [r1]",
        "              | go on at 0x00008003",
        "              | go on at 0x00008009 if r1 is zero",
        "              | go on at 0x00008003",
    ]


@pytest.mark.parametrize("words", [["f000f800"], ["f000", "f800"], ["0xf000", "0xf800"], ["f000 f800"]])
def test_a_32_bit_instruction_of_t32_in_one_word_or_in_two(insn, words):
    assert insn("--isa", "t32", *words).splitlines()[:2] == [
        "f000f800  bl #0x8004",
        "  row         BL_immediate_T1 (DDI 0406C A6.3.4)",
    ]


def test_it_makes_the_instructions_of_its_block_conditional(insn):
    # it ne; addne r1, r2, r3; adds r1, r2, r3
    it, inside, outside = insn("--isa", "t32", "bf18", "18d1", "18d1").split("\n\n")
    assert "  effects     it_state" in it.splitlines()
    assert inside.splitlines()[:6] == [
        "18d1  addne r1, r2, r3",
        "  row         ADD_register_T1 (DDI 0406C A6.2.1)",
        "  condition   ne, by an IT block",
        "  reads       r2 r3",
        "  writes      r1",
        "  flags       reads Z; writes nothing",
    ]
    assert inside.splitlines()[-3:] == [
        "  relocation  rewritten, reached if ne",
        "              | add r1, r2, r3, in an IT block",
        "              | go on at 0x00008003",
    ]
    assert outside.splitlines()[0] == "18d1  adds r1, r2, r3"
    assert "  flags       reads nothing; writes N Z C V" in outside.splitlines()


def test_json_of_a_t32_block(insn):
    # itte cs; movcs r0, #1; movcs r1, #1; bxcc lr
    reports = json.loads(insn("--isa", "t32", "--json", "bf26", "2001", "2101", "4770"))
    assert [(report["word"], report["row"], report["condition"]) for report in reports] == [
        ("0xbf26", "IT_T1", ""),
        ("0x2001", "MOV_immediate_T1", "cs"),
        ("0x2101", "MOV_immediate_T1", "cs"),
        ("0x4770", "BX_T1", "cc"),
    ]


def test_what_t32_forbids_in_an_it_block_is_refused(insn):
    refused = json.loads(insn("--isa", "t32", "--json", "bf18", "d002"))[1]  # it ne; beq .+8
    assert (refused["row"], refused["reason"]) == ("B_T1", "0xd002 is UNPREDICTABLE (B_T1: in_it)")


def test_without_capstone_t32_has_its_rows(insn, without_capstone):
    assert insn("--isa", "t32", "b510").splitlines()[0] == "b510  PUSH_T1"
    assert insn("--isa", "t32", "b800").splitlines()[0] == "b800  no T32 instruction"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["4770", "f000"],
            "'f000' is the first half of a T32 instruction, and no second half follows\nhelp: for example f000 f800",
        ),
        (
            ["f000", "f000f800"],
            "'f000' is the first half of a T32 instruction, and no second half follows\nhelp: for example f000 f800",
        ),
        (
            ["12345678"],
            "'12345678' is no T32 instruction of 32 bits: its first halfword is one of 16\nhelp: separate the two",
        ),
        (
            [""],
            "wanted an instruction word of at most 8 hexadecimal digits, got ''\nhelp: for example e59f1010",
        ),
        (["--at", "0x8001", "4770"], "T32 code stands at multiples of 2, and 0x00008001 is none"),
    ],
)
def test_what_is_no_t32_instruction_is_a_usage_error(words, message, capsys):
    assert main(["insn", "--isa", "t32", *words]) == 2
    assert capsys.readouterr().err == f"error[AP100]: {message}\n"
