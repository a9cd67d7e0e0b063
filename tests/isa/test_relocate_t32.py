"""What each kind of T32 instruction becomes elsewhere. Every listing is also executed against what stands in place."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import InternalError, Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import CONDITIONS, REGISTER_NAMES, Insn
from armprobe.isa.instruction_set import InstructionSet, is_wide
from armprobe.isa.itstate import advance
from armprobe.isa.relocate import relocate, relocate_run
from armprobe.isa.steps import CompareJump, Constant, InBlock, Jump, Relocation, Step, Word
from armprobe.verification.cases import case_of_run
from armprobe.verification.compare import Comparison
from armprobe.verification.report import describe

ADDRESS = 0x10000
LEAVES = "control never reaches the end of the steps"
STATES = 12
PUSH, POP, SET_SP = "b401 push {r0}", "bc01 pop {r0}", "f8ddd000 ldr.w sp, [sp]"
PUSH_2, STORE, LEAVE = "b501 push {r0, lr}", "9001 str r0, [sp, #4]", "bd01 pop {r0, pc}"

#: name -> (instruction, offset from ADDRESS, steps); a step is an instruction with its disassembly, or in words
SCENARIOS = {
    "an_instruction_without_pc_is_copied": ("1888 adds r0, r1, r2", 0, ["1888 adds r0, r1, r2"]),
    "a_return_is_copied": ("4770 bx lr", 0, ["4770 bx lr", LEAVES]),
    "a_return_by_pop_is_copied": ("bd10 pop {r4, pc}", 0, ["bd10 pop {r4, pc}", LEAVES]),
    "a_move_to_pc_that_does_not_interwork_is_copied": ("46f7 mov pc, lr", 0, ["46f7 mov pc, lr", LEAVES]),
    # Literals count from PC aligned to a word.
    "a_literal_load_goes_through_the_register_it_loads": (
        "4904 ldr r1, [pc, #16]", 0, ["r1 = 0x10014", "6809 ldr r1, [r1]"],
    ),
    "a_literal_load_counts_from_the_word_before": (
        "4904 ldr r1, [pc, #16]", 2, ["r1 = 0x10014", "6809 ldr r1, [r1]"],
    ),
    "a_literal_load_of_a_high_register": (
        "f8dfe010 ldr.w lr, [pc, #16]", 2, ["lr = 0x10014", "f8dee000 ldr.w lr, [lr]"],
    ),
    "a_byte_literal_load_below": (
        "f81f1008 ldrb.w r1, [pc, #-8]", 0, ["r1 = 0xfffc", "f8911000 ldrb.w r1, [r1]"],
    ),
    "a_signed_halfword_literal_load": (
        "f93fc004 ldrsh.w r12, [pc, #-4]", 2, ["r12 = 0x10000", "f9bcc000 ldrsh.w r12, [r12]"],
    ),
    "a_doubleword_literal_load": (
        "e9df4502 ldrd r4, r5, [pc, #8]", 0, ["r4 = 0x1000c", "e9d44500 ldrd r4, r5, [r4]"],
    ),
    "a_floating_point_literal_load_needs_a_core_register": (
        "ed9f0b04 vldr d0, [pc, #16]", 0, [PUSH, "r0 = 0x10014", "ed900b00 vldr d0, [r0]", POP],
    ),
    "a_literal_load_of_pc_leaves_through_the_stack": (
        "f8dff010 ldr.w pc, [pc, #16]", 0,
        [PUSH_2, "r0 = 0x10014", "f8d00000 ldr.w r0, [r0]", STORE, LEAVE, LEAVES],
    ),
    "a_literal_load_of_sp_goes_through_the_stack": (
        "f8dfd010 ldr.w sp, [pc, #16]", 2,
        [PUSH_2, "r0 = 0x10014", "f8d00000 ldr.w r0, [r0]", STORE, POP, SET_SP],
    ),
    "a_preload_of_a_literal_is_dropped": ("f89ff010 pld [pc, #16]", 0, []),
    # Addresses.
    "a_short_address_is_a_constant": ("a104 adr r1, . + 20", 2, ["r1 = 0x10014"]),
    "an_address_above_is_a_constant": ("f20f1904 adr.w r9, . + 264", 0, ["r9 = 0x10108"]),
    "an_address_below_is_a_constant": ("f2af1904 adr.w r9, . - 256", 2, ["r9 = 0xff00"]),
    # PC as an operand is not aligned.
    "a_sum_with_pc_needs_another_register": (
        "4479 add r1, pc", 2, [PUSH, "r0 = 0x10006", "4401 add r1, r0", POP],
    ),
    "a_sum_with_pc_in_the_lowest_register_takes_the_next": (
        "4478 add r0, pc", 0, ["b402 push {r1}", "r1 = 0x10004", "4408 add r0, r1", "bc02 pop {r1}"],
    ),
    "a_sum_with_pc_in_sp_counts_what_was_pushed": (
        "44fd add sp, pc", 0, [PUSH_2, "r0 = 0x1000c", "4468 add r0, sp", STORE, POP, SET_SP],
    ),
    "a_computed_jump_stays_in_t32": (
        "448f add pc, r1", 0,
        [PUSH_2, "r0 = 0x10004", "4408 add r0, r1", "f0400001 orr.w r0, r0, #1", STORE, LEAVE, LEAVES],
    ),
    "a_copy_of_pc_is_a_constant": ("4678 mov r0, pc", 2, ["r0 = 0x10006"]),
    "a_copy_of_pc_in_sp_goes_through_the_stack": (
        "46fd mov sp, pc", 0, [PUSH_2, "r0 = 0x10004", STORE, POP, SET_SP],
    ),
    "a_jump_to_pc_is_a_jump": ("46ff mov pc, pc", 2, ["go to 0x10007", LEAVES]),
    # Branches.
    "a_conditional_branch_goes_where_it_goes": ("d002 beq . + 8", 0, ["go to 0x10009", LEAVES]),
    "a_short_branch": ("e002 b . + 8", 2, ["go to 0x1000b", LEAVES]),
    "a_wide_branch": ("f000b802 b.w . + 8", 0, ["go to 0x10009", LEAVES]),
    "a_wide_conditional_branch": ("f0008002 beq.w . + 8", 0, ["go to 0x10009", LEAVES]),
    "a_call_returns_to_t32_code_after_it": ("f000f802 bl . + 8", 2, ["lr = 0x10007", "go to 0x1000b", LEAVES]),
    "a_call_of_a32_code_counts_from_a_word": ("f000e802 blx . + 6", 2, ["lr = 0x10007", "go to 0x10008", LEAVES]),
    "a_branch_to_a32_code_after_it": ("4778 bx pc", 0, ["go to 0x10004", LEAVES]),
    "a_call_through_a_register": ("4780 blx r0", 0, ["lr = 0x10003", "4700 bx r0", LEAVES]),
    "a_call_through_lr": ("47f0 blx lr", 0, ["b500 push {lr}", "lr = 0x10003", "bd00 pop {pc}", LEAVES]),
    "a_comparison_with_zero_keeps_its_register": ("b108 cbz r0, . + 6", 0, ["go to 0x10007 if r0 is zero"]),
    "a_comparison_with_not_zero": ("bb17 cbnz r7, . + 72", 2, ["go to 0x1004b if r7 is not zero"]),
    "a_table_of_bytes_after_it": (
        "e8dff001 tbb [pc, r1]", 2,
        [
            "b505 push {r0, r2, lr}", "r2 = 0x10006", "f8120001 ldrb.w r0, [r2, r1]", "r2 = 0x10007",
            "eb020040 add.w r0, r2, r0, lsl #1", "9002 str r0, [sp, #8]", "bd05 pop {r0, r2, pc}", LEAVES,
        ],
    ),
    "a_table_of_halfwords_elsewhere": (
        "e8d3f011 tbh [r3, r1, lsl #1]", 0,
        [
            "b505 push {r0, r2, lr}", "f8330011 ldrh.w r0, [r3, r1, lsl #1]", "r2 = 0x10005",
            "eb020040 add.w r0, r2, r0, lsl #1", "9002 str r0, [sp, #8]", "bd05 pop {r0, r2, pc}", LEAVES,
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_plan_is_as_listed_and_does_the_same(name: str) -> None:
    text, offset, expected = SCENARIOS[name]
    insn = t32(int(text.split()[0], 16))
    assert listing(relocate(insn, ADDRESS + offset)) == [without_disassembly(line) for line in expected]
    does_the_same((insn,))


# IT blocks.

#: name -> (instructions from IT on, which of them the probe is at, steps of each)
RUNS = {
    "a_block_is_displaced_as_a_whole": (
        ("bf0c ite eq", "1888 add r0, r1, r2", "4904 ldr r1, [pc, #16]"), 0,
        [["eq: in a block 1888"], ["ne: r1 = 0x10018", "ne: 6809"]],
    ),
    "the_rest_of_a_block_is_displaced_from_the_middle": (
        ("bf0c ite eq", "bf00 nop", "1888 add r0, r1, r2"), 2, [["ne: in a block 1888"]],
    ),
    "a_comparison_in_a_block_means_the_same_outside": (
        ("bf04 itt eq", "4288 cmp r0, r1", "4770 bx lr"), 0, [["eq: 4288"], ["eq: 4770"]],
    ),
    "wide_instructions_mean_the_same_outside": (
        ("bf18 it ne", "eb010002 add.w r0, r1, r2"), 0, [["ne: eb010002"]],
    ),
    "a_call_at_the_end_of_a_block_keeps_its_condition": (
        ("bfa8 it ge", "f000f802 bl . + 8"), 0, [["ge: lr = 0x10007", "ge: go to 0x1000b"]],
    ),
    "a_block_that_is_always_executed_still_keeps_the_flags": (
        ("bfe8 it al", "1888 add r0, r1, r2"), 0, [["in a block 1888"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_as_listed_and_does_the_same(name: str) -> None:
    texts, site, expected = RUNS[name]
    insns = block([int(text.split()[0], 16) for text in texts])
    place = ADDRESS + sum(insn.length for insn in insns[:site])
    plans = relocate_run(insns[site:], place)
    assert [[condition(plan) + line_of(step) for step in plan.steps] for plan in plans] == expected
    assert plans[-1].way_back == ADDRESS + sum(insn.length for insn in insns) | 1
    does_the_same(insns, site=site)


@pytest.mark.parametrize(("comparison", "added"), [(0x4280, {False, True}), (0x4288, {False})])
def test_a_condition_is_tested_when_its_turn_comes(comparison: int, added: set[bool]) -> None:
    """The comparison in the block, of r0 with itself or r1, decides whether the addition after it is executed."""
    insns = block([0xBF04, comparison, 0x3201])  # itt eq; cmp r0, ...; add r2, #1
    outcomes = does_the_same(insns, states=30)
    assert {outcome.unprobed.core[2] != case.state.core[2] for case, outcome in outcomes} == added


def test_successive_instructions_outside_of_blocks_are_a_run_too() -> None:
    insns = (t32(0x4904), t32(0x1888))
    assert [plan.address for plan in relocate_run(insns, ADDRESS)] == [ADDRESS, ADDRESS + 2]


def test_what_is_no_run_to_the_end_of_its_block_is_our_mistake() -> None:
    insns = block([0xBF04, 0x4288, 0x3201])
    with pytest.raises(InternalError, match=r"^the IT block goes on at 0x00010004$"):
        relocate_run(insns[:2], ADDRESS)
    with pytest.raises(InternalError, match=r"^0x00010002 is reached with ITSTATE 0x00, not 0x04$"):
        relocate_run((t32(0xBF00), insns[1]), ADDRESS)


# Refusals.

ALONE = "nothing leads back into an IT block, so that only the whole rest of it can be displaced"


@pytest.mark.parametrize(
    ("insn", "offset", "reason"),
    [
        (lambda: t32(0xBF08), 0, "0xbf08 (IT_T1) {}: " + ALONE),
        (lambda: block([0xBF04, 0x4288, 0x3201])[1], 0, "0x4288 (CMP_register_T1) {}: " + ALONE),
        (lambda: t32(0x4778), 2, "0x4778 (BX_T1) {}: it goes to 0x00010006, which is no place for A32 code"),
        (
            lambda: t32(0xF93FC004),
            0,
            "0xf93fc004 (LDRSH_literal_T1) {}: it accesses its own word, where the probe stands",
        ),
        (
            lambda: t32(0xF8DFF012),
            0,
            "0xf8dff012 (LDR_literal_T2) {}: it loads PC from 0x00010016, which is not aligned to a word",
        ),
        (lambda: t32(0xBE00), 0, "0xbe00 (BKPT_T1) {}: BKPT belongs to a debugger, which identifies it by its address"),
    ],
)
def test_what_cannot_be_relocated_is_refused_with_the_reason(insn, offset, reason) -> None:
    message = reason.format(f"at 0x{ADDRESS + offset:08x} can't be executed elsewhere")
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        relocate(insn(), ADDRESS + offset)


def test_a_literal_where_the_probe_of_the_block_stands_is_refused() -> None:
    insns = block([0xBF08, 0xF85F0004])  # it eq; ldr.w r0, [pc, #-4]: from ADDRESS
    message = (
        "0xf85f0004 (LDR_literal_T2) at 0x00010002 can't be executed elsewhere: "
        "it accesses the instruction at 0x00010000, where the probe stands"
    )
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        relocate_run(insns, ADDRESS)


@pytest.mark.parametrize(("word", "size", "scale"), [
    (0xF85F0000, 4, 1),  # ldr.w r0, [pc, #-n]
    (0xF81F0000, 1, 1),  # ldrb.w r0, [pc, #-n]
    (0xF83F0000, 2, 1),  # ldrh.w r0, [pc, #-n]
    (0xE95F0100, 8, 4),  # ldrd r0, r1, [pc, #-4n]
    (0xED1F0A00, 4, 4),  # vldr s0, [pc, #-4n]
    (0xED1F0B00, 8, 4),  # vldr d0, [pc, #-4n]
])  # fmt: skip
@pytest.mark.parametrize("address", [ADDRESS, ADDRESS + 2])
def test_exactly_what_reaches_the_instruction_itself_is_refused(word: int, size: int, scale: int, address: int) -> None:
    for n in range(20):
        start = (address + 4 & ~3) - n * scale
        if start < address + 4 and start + size > address:
            with pytest.raises(Refused, match="it accesses its own word"):
                relocate(t32(word | n), address)
        else:
            relocate(t32(word | n), address)


def test_before_architecture_7_nothing_is_relocated() -> None:
    with pytest.raises(
        Refused, match=r"that takes instructions of architecture 7, and this target has architecture 6$"
    ):
        relocate(t32(0x1888), ADDRESS, architecture=6)


def test_addresses_wrap_at_the_end_of_memory() -> None:
    assert relocate(t32(0xA104), 0xFFFFFFFC).steps == (Constant(1, 0x10),)  # adr r1, . + 20
    assert relocate(t32(0xF7FFFFFE), 0xFFFFFFFC).steps == (Constant(14, 1), Jump(0xFFFFFFFD))  # bl .


def test_a_supervisor_call_comes_back() -> None:
    relocation = relocate(t32(0xDF00), ADDRESS)
    assert relocation.verbatim
    assert relocation.falls_through


def t32(word: int) -> Insn:
    return decode(word, InstructionSet.T32)


def block(words: list[int]) -> tuple[Insn, ...]:
    """Decode an IT instruction and those of its block."""
    state, insns = words[0] & 0xFF, [t32(words[0])]
    for word in words[1:]:
        insns.append(decode(word, InstructionSet.T32, it=state))
        state = advance(state)
    return tuple(insns)


def does_the_same(insns: tuple[Insn, ...], *, site: int = 0, states: int = STATES) -> list:
    comparison, outcomes, refused = Comparison(), [], 0
    for number in range(states):
        case = case_of_run(insns, number, site=site)
        try:
            outcome = comparison.run(case)
        except Refused:  # at some places only: `bx pc`
            refused += 1
            continue
        assert not outcome.differences, describe(case, outcome)
        outcomes.append((case, outcome))
    assert refused <= states // 2
    return outcomes


def listing(relocation: Relocation) -> list[str]:
    return [line_of(step) for step in relocation.steps] + ([] if relocation.falls_through else [LEAVES])


def line_of(step: Step) -> str:
    match step:
        case Word(word, size):
            assert is_wide(word >> 16 if size == 4 else word) is (size == 4)
            return f"{word:0{2 * size}x}"
        case InBlock(word):
            return f"in a block {word:04x}"
        case Constant(register, value):
            return f"{REGISTER_NAMES[register]} = 0x{value:x}"
        case Jump(target):
            return f"go to 0x{target:x}"
        case CompareJump(register, nonzero, target):
            return f"go to 0x{target:x} if {REGISTER_NAMES[register]} is {'not ' if nonzero else ''}zero"


def condition(relocation: Relocation) -> str:
    name = CONDITIONS[relocation.insn.cond]
    return f"{name}: " if name else ""


def without_disassembly(line: str) -> str:
    """The instruction of its line; other lines as they are."""
    return line.split(maxsplit=1)[0] if re.match("([0-9a-f]{4}){1,2} ", line) else line
