"""What each kind of instruction becomes elsewhere. Every listing is also executed against the instruction in place."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import Refused
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NAMES
from armprobe.isa.relocate import relocate
from armprobe.isa.steps import Constant, Jump, Relocation, Step
from armprobe.verification.cases import case_of
from armprobe.verification.compare import Comparison
from armprobe.verification.report import describe

ADDRESS = 0x10000
LEAVES = "control never reaches the end of the steps"
STATES = 12

#: name -> (instruction, steps); a step is a word with its disassembly, `register = value` or `go to target`; or LEAVES
SCENARIOS = {
    # Verbatim: the condition was tested before.
    "an_instruction_without_pc_is_copied_and_always_executed": (
        "00811002 addeq r1, r1, r2",
        ["e0811002 add r1, r1, r2"],
    ),
    "a_return_is_copied": ("e1a0f00e mov pc, lr", ["e1a0f00e mov pc, lr", LEAVES]),
    "a_conditional_return_by_pop_is_copied": ("08bd8010 popeq {r4, pc}", ["e8bd8010 pop {r4, pc}", LEAVES]),
    "a_jump_through_memory_is_copied": ("e590f000 ldr pc, [r0]", ["e590f000 ldr pc, [r0]", LEAVES]),
    "an_unconditional_instruction_keeps_its_first_four_bits": (
        "f2000844 vadd.i8 q0, q0, q2",
        ["f2000844 vadd.i8 q0, q0, q2"],
    ),
    # Loads from literals: the register that is loaded holds PC before.
    "a_literal_load_goes_through_the_register_it_loads": (
        "e59f1010 ldr r1, [pc, #0x10]",
        ["r1 = 0x10008", "e5911010 ldr r1, [r1, #0x10]"],
    ),
    "a_literal_load_below_keeps_its_sign": (
        "e51f1010 ldr r1, [pc, #-0x10]",
        ["r1 = 0x10008", "e5111010 ldr r1, [r1, #-0x10]"],
    ),
    "a_byte_literal_load_stays_a_byte_load": (
        "155fe020 ldrbne lr, [pc, #-0x20]",
        ["lr = 0x10008", "e55ee020 ldrb lr, [lr, #-0x20]"],
    ),
    "a_signed_halfword_literal_load_stays_one": (
        "e1df22f4 ldrsh r2, [pc, #0x24]",
        ["r2 = 0x10008", "e1d222f4 ldrsh r2, [r2, #0x24]"],
    ),
    "a_doubleword_literal_load_goes_through_its_first_register": (
        "e1cf40d8 ldrd r4, r5, [pc, #8]",
        ["r4 = 0x10008", "e1c440d8 ldrd r4, r5, [r4, #8]"],
    ),
    "a_load_from_pc_plus_the_register_it_loads_needs_another_register": (
        "e79f0100 ldr r0, [pc, r0, lsl #2]",
        ["e52d1004 str r1, [sp, #-4]!", "r1 = 0x10008", "e7910100 ldr r0, [r1, r0, lsl #2]", "e49d1004 pop {r1}"],
    ),
    "a_floating_point_literal_load_needs_a_core_register": (
        "ed9f0b04 vldr d0, [pc, #0x10]",
        ["e52d0004 str r0, [sp, #-4]!", "r0 = 0x10008", "ed900b04 vldr d0, [r0, #0x10]", "e49d0004 pop {r0}"],
    ),
    "a_multiple_floating_point_load_from_pc_needs_a_core_register": (
        "ec9f0b04 vldmia pc, {d0, d1}",
        ["e52d0004 str r0, [sp, #-4]!", "r0 = 0x10008", "ec900b04 vldmia r0, {d0, d1}", "e49d0004 pop {r0}"],
    ),
    "a_literal_load_of_sp_restores_the_scratch_register_and_sp_at_once": (
        "e59fd010 ldr sp, [pc, #0x10]",
        [
            "e92d4001 push {r0, lr}",
            "r0 = 0x10008",
            "e5900010 ldr r0, [r0, #0x10]",
            "e58d0004 str r0, [sp, #4]",
            "e89d2001 ldm sp, {r0, sp}",
        ],
    ),
    # PC in data processing.
    "an_address_computed_from_pc_is_a_constant": ("e28f1f41 add r1, pc, #0x104", ["r1 = 0x1010c"]),
    "an_address_below_pc_is_a_constant": ("b24f1008 sublt r1, pc, #8", ["r1 = 0x10000"]),
    "the_old_way_to_set_a_return_address_is_a_constant": ("e1a0e00f mov lr, pc", ["lr = 0x10008"]),
    "a_sum_with_pc_that_sets_flags_still_sets_them": (
        "e09f1002 adds r1, pc, r2",
        ["r1 = 0x10008", "e0911002 adds r1, r1, r2"],
    ),
    "the_carry_of_a_shifted_pc_comes_from_the_shift": (
        "e1b011af lsrs r1, pc, #3",
        ["r1 = 0x10008", "e1b011a1 lsrs r1, r1, #3"],
    ),
    "a_comparison_of_sp_with_pc_sees_both": (
        "e15d000f cmp sp, pc",
        [
            "e92d0003 push {r0, r1}",
            "e28d1008 add r1, sp, #8",
            "r0 = 0x10008",
            "e1510000 cmp r1, r0",
            "e8bd0003 pop {r0, r1}",
        ],
    ),
    "a_sum_of_sp_and_pc_in_sp_restores_the_scratch_registers_and_sp_at_once": (
        "e08dd00f add sp, sp, pc",
        [
            "e92d4003 push {r0, r1, lr}",
            "e28d100c add r1, sp, #0xc",
            "r0 = 0x10008",
            "e0810000 add r0, r1, r0",
            "e58d0008 str r0, [sp, #8]",
            "e89d2003 ldm sp, {r0, r1, sp}",
        ],
    ),
    "an_address_in_sp_is_never_built_up_in_sp": (
        "e28fd008 add sp, pc, #8",
        [
            "e92d4001 push {r0, lr}",
            "r0 = 0x10008",
            "e2800008 add r0, r0, #8",
            "e58d0004 str r0, [sp, #4]",
            "e89d2001 ldm sp, {r0, sp}",
        ],
    ),
    # Jumps that are computed from PC.
    "a_switch_by_addition_leaves_through_the_stack": (
        "908ff101 addls pc, pc, r1, lsl #2",
        [
            "e92d4001 push {r0, lr}",
            "r0 = 0x10008",
            "e0800101 add r0, r0, r1, lsl #2",
            "e58d0004 str r0, [sp, #4]",
            "e8bd8001 pop {r0, pc}",
            LEAVES,
        ],
    ),
    "a_switch_by_table_leaves_through_the_stack": (
        "979ff103 ldrls pc, [pc, r3, lsl #2]",
        [
            "e92d4001 push {r0, lr}",
            "r0 = 0x10008",
            "e7900103 ldr r0, [r0, r3, lsl #2]",
            "e58d0004 str r0, [sp, #4]",
            "e8bd8001 pop {r0, pc}",
            LEAVES,
        ],
    ),
    "a_long_jump_through_a_literal_leaves_through_the_stack": (
        "e51ff004 ldr pc, [pc, #-4]",
        [
            "e92d4001 push {r0, lr}",
            "r0 = 0x10008",
            "e5100004 ldr r0, [r0, #-4]",
            "e58d0004 str r0, [sp, #4]",
            "e8bd8001 pop {r0, pc}",
            LEAVES,
        ],
    ),
    "a_constant_distance_added_to_pc_is_a_jump": ("e28ff008 add pc, pc, #8", ["go to 0x10010", LEAVES]),
    "a_move_of_pc_to_itself_skips_one_instruction": ("e1a0f00f mov pc, pc", ["go to 0x10008", LEAVES]),
    # Branches.
    "a_branch_is_a_jump": ("0afffffe beq #0x10000", ["go to 0x10000", LEAVES]),
    "a_call_returns_behind_the_original": ("ebfffffe bl #0x10000", ["lr = 0x10004", "go to 0x10000", LEAVES]),
    "a_call_to_t32_goes_there_in_t32": ("fb000000 blx #0x1000a", ["lr = 0x10004", "go to 0x1000b", LEAVES]),
    "a_call_through_a_register_returns_behind_the_original": (
        "112fff33 blxne r3",
        ["lr = 0x10004", "e12fff13 bx r3", LEAVES],
    ),
    "a_call_through_lr_reads_lr_first": (
        "e12fff3e blx lr",
        ["e52de004 str lr, [sp, #-4]!", "lr = 0x10004", "e49df004 pop {pc}", LEAVES],
    ),
    "an_exchange_with_pc_skips_one_instruction": ("e12fff1f bx pc", ["go to 0x10008", LEAVES]),
    "an_exchange_is_copied": ("e12fff1e bx lr", ["e12fff1e bx lr", LEAVES]),
    # Stores of PC and to places near PC.
    "a_store_near_pc_needs_a_register": (
        "e58f1010 str r1, [pc, #0x10]",
        ["e52d0004 str r0, [sp, #-4]!", "r0 = 0x10008", "e5801010 str r1, [r0, #0x10]", "e49d0004 pop {r0}"],
    ),
    "a_store_of_pc_stores_the_original_one": (
        "e581f004 str pc, [r1, #4]",
        ["e52d0004 str r0, [sp, #-4]!", "r0 = 0x10008", "e5810004 str r0, [r1, #4]", "e49d0004 pop {r0}"],
    ),
    "a_push_of_pc_keeps_its_word_above_sp": (
        "e52df004 str pc, [sp, #-4]!",
        [
            "e24dd010 sub sp, sp, #0x10",
            "e92d4003 push {r0, r1, lr}",
            "e28d100c add r1, sp, #0xc",
            "e2811010 add r1, r1, #0x10",
            "r0 = 0x10008",
            "e5210004 str r0, [r1, #-4]!",
            "e58d1008 str r1, [sp, #8]",
            "e89d2003 ldm sp, {r0, r1, sp}",
        ],
    ),
    "a_store_of_pc_below_sp_is_not_overwritten_by_the_scratch_register": (
        "e50df7f8 str pc, [sp, #-0x7f8]",
        [
            "e24ddb02 sub sp, sp, #0x800",
            "e92d0003 push {r0, r1}",
            "e28d1008 add r1, sp, #8",
            "e2811b02 add r1, r1, #0x800",
            "r0 = 0x10008",
            "e50107f8 str r0, [r1, #-0x7f8]",
            "e8bd0003 pop {r0, r1}",
            "e28ddb02 add sp, sp, #0x800",
        ],
    ),
    # PC in the list of a store.
    "the_classic_prologue_lowers_sp_before_it_stores": (
        "e92dd800 push {fp, ip, lr, pc}",
        [
            "e24dd010 sub sp, sp, #0x10",
            "e88d5800 stm sp, {fp, ip, lr}",
            "e52d0004 str r0, [sp, #-4]!",
            "r0 = 0x10008",
            "e58d0010 str r0, [sp, #0x10]",
            "e49d0004 pop {r0}",
        ],
    ),
    "a_push_of_every_register_but_sp_needs_no_free_one": (
        "e92ddfff push {r0, r1, r2, r3, r4, r5, r6, r7, r8, sb, sl, fp, ip, lr, pc}",
        [
            "e24dd03c sub sp, sp, #0x3c",
            "e88d5fff stm sp, {r0, r1, r2, r3, r4, r5, r6, r7, r8, sb, sl, fp, ip, lr}",
            "e52d0004 str r0, [sp, #-4]!",
            "r0 = 0x10008",
            "e58d003c str r0, [sp, #0x3c]",
            "e49d0004 pop {r0}",
        ],
    ),
    "a_register_above_all_others_of_the_list_stands_for_pc": (
        "e920800d stmdb r0!, {r0, r2, r3, pc}",
        [
            "e52d4004 str r4, [sp, #-4]!",
            "r4 = 0x10008",
            "e920001d stmdb r0!, {r0, r2, r3, r4}",
            "e49d4004 pop {r4}",
        ],
    ),
    "an_ascending_store_in_two_moves_its_base_last": (
        "e8a0c00c stm r0!, {r2, r3, lr, pc}",
        [
            "e880400c stm r0, {r2, r3, lr}",
            "e52d1004 str r1, [sp, #-4]!",
            "r1 = 0x10008",
            "e580100c str r1, [r0, #0xc]",
            "e49d1004 pop {r1}",
            "e2800010 add r0, r0, #0x10",
        ],
    ),
    "a_descending_store_in_two_has_its_base_moved": (
        "e921a001 stmdb r1!, {r0, sp, pc}",
        [
            "e2411004 sub r1, r1, #4",
            "e9012001 stmdb r1, {r0, sp}",
            "e2811004 add r1, r1, #4",
            "e52d0004 str r0, [sp, #-4]!",
            "r0 = 0x10008",
            "e5010004 str r0, [r1, #-4]",
            "e49d0004 pop {r0}",
            "e241100c sub r1, r1, #0xc",
        ],
    ),
    "a_store_downwards_from_its_base_in_two_stores_pc_at_the_base": (
        "e801c001 stmda r1, {r0, lr, pc}",
        [
            "e9014001 stmdb r1, {r0, lr}",
            "e52d0004 str r0, [sp, #-4]!",
            "r0 = 0x10008",
            "e5810000 str r0, [r1]",
            "e49d0004 pop {r0}",
        ],
    ),
    "a_descending_store_below_sp_without_write_back_lowers_sp_for_a_while": (
        "e90d8003 stmdb sp, {r0, r1, pc}",
        [
            "e24dd00c sub sp, sp, #0xc",
            "e88d0003 stm sp, {r0, r1}",
            "e52d0004 str r0, [sp, #-4]!",
            "r0 = 0x10008",
            "e58d000c str r0, [sp, #0xc]",
            "e49d0004 pop {r0}",
            "e28dd00c add sp, sp, #0xc",
        ],
    ),
    "a_hint_about_an_address_near_pc_is_dropped": ("f55ff010 pld [pc, #-0x10]", []),
}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison()


@pytest.mark.parametrize("name", SCENARIOS)
def test_relocated_instruction(name: str) -> None:
    text, expected = SCENARIOS[name]
    relocation = relocate(decode(int(text.split()[0], 16)), ADDRESS)

    assert listing(relocation) == [without_disassembly(line) for line in expected]


@pytest.mark.parametrize("name", SCENARIOS)
def test_relocated_instruction_does_what_the_original_does(name: str, comparison: Comparison) -> None:
    insn = decode(int(SCENARIOS[name][0].split()[0], 16))
    outcomes = [(case, comparison.run(case)) for case in (case_of(insn, number) for number in range(STATES))]

    for case, outcome in outcomes:
        assert not outcome.differences, describe(case, outcome)
    assert any(outcome.completed for _, outcome in outcomes)


def test_the_disassembly_beside_each_word_is_true() -> None:
    capstone = pytest.importorskip("capstone")
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM | capstone.CS_MODE_V8)
    for line in (line for text, steps in SCENARIOS.values() for line in (text, *steps)):
        if without_disassembly(line) == line:
            continue
        word, _, expected = line.partition(" ")
        _, _, mnemonic, operands = next(disassembler.disasm_lite(bytes.fromhex(word)[::-1], ADDRESS))
        assert f"{mnemonic} {operands}" == expected, line


@pytest.mark.parametrize(
    ("word", "size", "scale"),
    [
        (0xE51F0000, 4, 1),  # ldr r0, [pc, #-n]
        (0xE55F0000, 1, 1),  # ldrb r0, [pc, #-n]
        (0xE50F0000, 4, 1),  # str r0, [pc, #-n]
        (0xE15F00B0, 2, 1),  # ldrh r0, [pc, #-n]
        (0xE15F00D0, 1, 1),  # ldrsb r0, [pc, #-n]
        (0xE15F00F0, 2, 1),  # ldrsh r0, [pc, #-n]
        (0xE14F00D0, 8, 1),  # ldrd r0, r1, [pc, #-n]
        (0xE14F00F0, 8, 1),  # strd r0, r1, [pc, #-n]
        (0xED1F0A00, 4, 4),  # vldr s0, [pc, #-4n]
        (0xED1F0B00, 8, 4),  # vldr d0, [pc, #-4n]
    ],
)
def test_exactly_what_reaches_the_instruction_itself_is_refused(word: int, size: int, scale: int) -> None:
    split = word & 0x0E000090 == 0x00000090  # four bits of the offset are higher up
    for n in range(32):
        start = 8 - n * scale  # from the instruction
        reaches = start < 4 and start + size > 0
        insn = decode(word | ((n >> 4 << 8 | n & 15) if split else n))
        if reaches:
            with pytest.raises(Refused, match="it accesses its own word"):
                relocate(insn, ADDRESS)
        else:
            relocate(insn, ADDRESS)


def test_before_architecture_7_a_computed_jump_does_not_interwork() -> None:
    steps = listing(relocate(decode(0xE08FF001), ADDRESS, architecture=6))  # add pc, pc, r1
    assert steps == [
        "e92d4001",  # push {r0, lr}
        "r0 = 0x10008",
        "e0800001",  # add r0, r0, r1
        "e3c00003",  # bic r0, r0, #3
        "e58d0004",  # str r0, [sp, #4]
        "e8bd8001",  # pop {r0, pc}
        LEAVES,
    ]


def test_before_architecture_7_a_loaded_jump_interworks_all_the_same() -> None:
    assert relocate(decode(0xE79FF103), ADDRESS, architecture=6) == relocate(decode(0xE79FF103), ADDRESS)


def test_before_architecture_7_a_constant_jump_ignores_the_low_bits() -> None:
    insn = decode(0xE28FF003)  # add pc, pc, #3
    assert relocate(insn, ADDRESS, architecture=6).steps == (Jump(0x10008),)
    assert relocate(insn, ADDRESS, architecture=7).steps == (Jump(0x1000B),)


def test_addresses_wrap_at_the_end_of_memory() -> None:
    assert relocate(decode(0xE28F1010), 0xFFFFFFFC).steps == (Constant(1, 0x14),)  # add r1, pc, #0x10
    assert relocate(decode(0xEBFFFFFE), 0xFFFFFFFC).steps == (Constant(14, 0), Jump(0xFFFFFFFC))  # bl .


def test_a_supervisor_call_comes_back() -> None:
    relocation = relocate(decode(0xEF000000), ADDRESS)  # svc #0
    assert relocation.verbatim
    assert relocation.falls_through


def test_an_exception_return_does_not_come_back() -> None:
    relocation = relocate(decode(0xE25EF004), ADDRESS)  # subs pc, lr, #4
    assert relocation.verbatim
    assert not relocation.falls_through


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        # adds pc, pc, r1
        (0xE09FF001, "(ADDS_PC_register_A2) {}: it returns from an exception to an address that depends on its own"),
        # add pc, pc, #2
        (0xE28FF002, "(ADD_immediate_A1) {}: it writes 0x0001000a to PC, which is no instruction address"),
        # ldr r0, [pc, #-8]
        (0xE51F0008, "(LDR_literal_A1) {}: it accesses its own word, where the probe stands"),
        # vldr d0, [pc, #-12]
        (0xED1F0B03, "(VLDR_A1) {}: it accesses its own word, where the probe stands"),
        # str pc, [sp, -r0]!
        (
            0xE72DF000,
            "(STR_register_A1) {}: it stores an unknown number of bytes below SP, where a scratch register must wait",
        ),
        # strd r12, sp, [pc, #16]
        (
            0xE1CFC1F0,
            "(STRD_immediate_A1) {}: it uses SP as the second of a register pair, and a scratch register moves SP",
        ),
        # stmdb sp!, {r0, sp, pc}
        (0xE92DA001, "(STMDB_A1) {}: it stores SP below SP together with PC"),
        # stmdb r1, {r1, lr, pc}
        (0xE901C002, "(STMDB_A1) {}: it stores its own base, which has to be moved to store PC"),
        # stm r0, {r1, pc}^
        (0xE8C08002, "(STM_user_A1) {}: it stores PC among user-mode registers"),
        # bkpt #0
        (0xE1200070, "(BKPT_A1) {}: BKPT belongs to a debugger, which identifies it by its address"),
    ],
)
def test_what_cannot_be_relocated_is_refused_with_the_reason(word: int, reason: str) -> None:
    message = f"0x{word:08x} " + reason.format("at 0x00010000 can't be executed elsewhere")
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        relocate(decode(word), ADDRESS)


def listing(relocation: Relocation) -> list[str]:
    return [line_of(step) for step in relocation.steps] + ([] if relocation.falls_through else [LEAVES])


def line_of(step: Step) -> str:
    match step:
        case Constant(register, value):
            return f"{REGISTER_NAMES[register]} = 0x{value:x}"
        case Jump(target):
            return f"go to 0x{target:x}"
    return f"{step.word:08x}"


def without_disassembly(line: str) -> str:
    """The word of an instruction line; other lines as they are."""
    return line[:8] if re.match("[0-9a-f]{8} ", line) else line
