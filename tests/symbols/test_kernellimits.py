import struct

import pytest

from armprobe.symbols.image import Symbol
from armprobe.symbols.kernellimits import kernel_refusals
from armprobe.symbols.kerneltable import KernelPart, kernel_table
from armprobe.symbols.kerneltables import CodeTables

BASE = 0xC0300000
NOP, PUSH_LR, ADD_SP, MOV = 0xE320F000, 0xE52DE004, 0xE28DD004, 0xE1A00001


def table(*words, symbols=(), accesses=(), labels=()):
    text = b"".join(struct.pack("<I", word) for word in words)
    tables = CodeTables(tuple(accesses), tuple(labels))
    refused = kernel_refusals(symbols, text, BASE, tables=tables)
    return kernel_table(KernelPart(symbols, BASE, BASE + len(text), refused, labels))


def test_other_instructions_are_not_refused():
    assert table(MOV, PUSH_LR, MOV).refusal(BASE + 4) == ""


def test_jump_labels_are_refused_whatever_stands_there_and_other_no_ops_are_not():
    reason = "a no-op or branch that the kernel changes when it likes (a jump label)"
    found = table(NOP, 0xEA000000, MOV, NOP, labels=[BASE, BASE + 4])
    assert [found.refusal(BASE + 4 * number) for number in range(4)] == [reason, reason, "", ""]
    assert [found.may_change(BASE + 4 * number) for number in range(4)] == [True, True, False, False]


def test_accesses_with_a_fix_up_are_refused():
    reason = "an access that may fault, which the kernel mends by its address (exception table)"
    assert table(MOV, 0xE4B02000, accesses=[BASE + 4]).refusal(BASE + 4) == reason


def test_table_of_a_switch_is_refused_and_code_behind_it_is_not():
    # ldrls pc, [pc, r3, lsl #2]; b default; three addresses of this function
    found = table(0x979FF103, 0xEA000003, BASE + 20, BASE + 20, BASE + 24, MOV, MOV)
    reason = "an address in the table of a switch, not an instruction"
    assert [found.refusal(BASE + 4 * number) for number in range(7)] == ["", "", *[reason] * 3, "", ""]


def test_probes_of_the_kernel_itself_are_refused():
    found = table(0xE7F001F8, 0x07F001F8, 0xE7F001F9, 0xEAB00000, 0xEA000000)
    trap, branch = "a probe of the kernel itself (a kprobe)", (
        "a branch out of the kernel's own code, as its optimized kprobes have"
    )  # fmt: skip
    assert [found.refusal(BASE + 4 * number) for number in range(5)] == [trap, trap, "", branch, ""]


def test_call_of_the_tracer_is_refused_switched_on_or_off():
    reason = "the place of a call of the function tracer, which the kernel may change (ftrace)"
    tracer = Symbol("ftrace_caller", BASE + 0x100, 4)
    bl = 0xEB000000 | (0x100 - 4 - 8) >> 2
    assert table(PUSH_LR, ADD_SP).refusal(BASE + 4) == reason
    assert table(PUSH_LR, bl, *[MOV] * 70, symbols=[tracer]).refusal(BASE + 4) == reason
    assert table(PUSH_LR, bl, *[MOV] * 70).refusal(BASE + 4) == ""


def test_constant_that_is_loaded_is_refused():
    found = table(0xE59F1004, MOV, MOV, 0x12345678, 0xE51F000C, MOV)
    assert found.refusal(BASE + 12) == "a constant that code loads, not an instruction"
    assert [found.refusal(BASE + 4 * number) for number in (0, 1, 2, 4, 5)] == [""] * 5


@pytest.mark.parametrize(("load", "words"), [
    (0xE1CF20D0, 2),  # ldrd r2, r3, [pc]
    (0xED9F0A00, 1),  # vldr s0, [pc]
    (0xED9F0B00, 2),  # vldr d0, [pc]
])  # fmt: skip
def test_constants_of_two_words_are_refused_whole(load, words):
    # The offset of 0 is made 4: the word after the next.
    found = table(load | (4 if load >> 24 == 0xE1 else 1), MOV, MOV, 0x12345678, 0x12345678, MOV)
    refused = [bool(found.refusal(BASE + 4 * number)) for number in range(6)]
    assert refused == [3 <= number < 3 + words for number in range(6)]


def test_constant_right_behind_its_load_and_the_branch_is_refused():
    found = table(0xE59F0000, 0xEA000001, 0xC15FD2AC, MOV, MOV)  # ldr r0, [pc]; b
    assert [bool(found.refusal(BASE + 4 * number)) for number in range(5)] == [False, False, True, False, False]


def test_gaps_are_refused():
    found = table(MOV, 0xE3A00000, 0, 0, 0x00000001, MOV)
    refused = [found.refusal(BASE + 4 * number) for number in range(6)]
    assert refused == ["", "", *["zero, which no compiler makes an instruction: a gap between the code"] * 2, "", ""]


def test_what_an_address_is_taken_of_is_refused_up_to_the_next_symbol():
    symbols = [Symbol("f", BASE, 20), Symbol("g", BASE + 20, 8)]
    found = table(0xE28F0004, MOV, MOV, MOV, MOV, MOV, MOV, symbols=symbols)  # adr r0, BASE + 12
    reason = "at or behind a place whose address code takes (ADR), and may be a constant"
    assert [found.refusal(BASE + 4 * number) for number in range(7)] == ["", "", "", reason, reason, "", ""]
    assert table(MOV, MOV, 0xE24F1F02, symbols=symbols[:1]).refusal(BASE + 8) == reason  # adr r1, BASE + 8


def test_code_of_a_processor_that_starts_is_refused():
    symbols = [Symbol("secondary_startup", BASE, 8), Symbol("tick", BASE + 8, 8)]
    found = table(MOV, MOV, MOV, MOV, symbols=symbols)
    reason = "code that runs while the memory management is off"
    assert [found.refusal(BASE + 4 * number) for number in range(4)] == [reason, reason, "", ""]


def test_sections_functions_and_all_that_is_no_code_of_the_kernel():
    symbols = [
        Symbol("__entry_text_start", BASE, 4),
        Symbol("__entry_text_end", BASE + 8, 4),
        Symbol("do_DataAbort", BASE + 12, 8),
    ]
    found = table(MOV, NOP, MOV, MOV, MOV, MOV, symbols=symbols)
    entry = "entry code, which runs before the kernel can take a fault"
    fault = "on the way of the page fault that a process may take to reach a probe"
    outside = "outside of the kernel's own code"
    assert [found.refusal(BASE + 4 * number) for number in range(-1, 7)] == [
        outside, entry, entry, "", fault, fault, "", outside,
    ]  # fmt: skip
    assert found.refusal(0xFFFF0000) == "an exception vector"


def test_refusals_move_with_the_table():
    assert table(MOV, NOP, labels=[BASE + 4]).rebased(0x1000).refusal(BASE + 0x1004).startswith("a no-op")
