import struct

from armprobe.symbols.image import Symbol
from armprobe.symbols.kernellimits import kernel_refusals
from armprobe.symbols.table import SymbolTable

BASE = 0xC0300000
NOP, PUSH_LR, ADD_SP, MOV = 0xE320F000, 0xE52DE004, 0xE28DD004, 0xE1A00001


def table(*words, symbols=()):
    text = b"".join(struct.pack("<I", word) for word in words)
    return SymbolTable(symbols, refused=kernel_refusals(symbols, text, BASE))


def test_other_instructions_are_not_refused():
    assert table(MOV, PUSH_LR, MOV).refusal(BASE + 4) == ""


def test_jump_label_is_refused():
    assert table(MOV, NOP).refusal(BASE + 4) == "a no-op that the kernel may turn into a branch (a jump label)"


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
    assert table(MOV, NOP).rebased(0x1000).refusal(BASE + 0x1004).startswith("a no-op")
