"""Two-word windows: proven, or refused with the reason."""

from __future__ import annotations

import pytest

from armprobe.isa.branch import far_jump
from armprobe.patching import PatchedBytes, Write, execute, plan_patch, prove_window, restore

BASE = 0x8000
SITE = BASE + 4

PUSH = 0xE92D4010  # push {r4, lr}
MOV = 0xE1A04000  # mov r4, r0
ADD = 0xE0800001  # add r0, r0, r1
NOP = 0xE320F000  # nop
POP = 0xE8BD8010  # pop {r4, pc}
BX_LR = 0xE12FFF1E  # bx lr
PLAIN = (PUSH, MOV, ADD, NOP, POP)


def judge(words, *, site=SITE, data=(), function=None):
    """Judge the window at `site`; `data` are indices of words that are no code."""
    program = {BASE + 4 * n: word for n, word in enumerate(words)}
    return prove_window(
        program.get,
        site,
        function=function or (BASE, BASE + 4 * len(words)),
        is_code=lambda address: (address - BASE) // 4 not in data,
    )


def refused(words, reason, **keywords):
    verdict = judge(words, **keywords)
    assert (verdict.ok, verdict.reason) == (False, reason)


def test_straight_code_may_hold_a_window():
    verdict = judge(PLAIN)
    assert verdict
    assert verdict.reason == "nothing reaches 0x00008008 but 0x00008004"


def test_window_may_be_the_whole_function():
    assert judge((MOV, BX_LR), site=BASE)


@pytest.mark.parametrize("site", [BASE - 4, BASE + 16, BASE + 20, BASE + 2])
def test_window_outside_the_function_is_refused(site):
    refused(PLAIN, f"a window at 0x{site:08x} does not lie inside the function 0x00008000..0x00008014", site=site)


@pytest.mark.parametrize(
    ("branch", "goes"),
    [
        (0xEAFFFFFD, True),  # b 0x8008, from 0x800c
        (0x0AFFFFFD, True),  # beq 0x8008
        (0xEBFFFFFD, True),  # bl 0x8008
        (0xFBFFFFFC, True),  # blx 0x8006 + 2: T32 code at the second word
        (0xFBFFFFFD, True),  # blx 0x800a: the second half of the second word
        (0xEAFFFFFC, False),  # b 0x8004: the first word
        (0xEAFFFFFE, False),  # b 0x800c
    ],
)
def test_branch_to_the_second_word_is_refused(branch, goes):
    words = (PUSH, MOV, ADD, branch, POP)
    if branch == 0xFBFFFFFC:
        goes = False  # blx .-8 + 2 is 0x8006, in the first word
    if goes:
        refused(words, "the branch at 0x0000800c goes to the window's second word, 0x00008008")
    else:
        assert judge(words)


@pytest.mark.parametrize(
    "call",
    [
        0xEB000010,  # bl
        0x1B000010,  # blne
        0xFA000010,  # blx
        0xE12FFF33,  # blx r3
    ],
)
def test_call_in_the_first_word_is_refused_because_it_returns_into_the_window(call):
    refused((PUSH, call, ADD, POP), "the call at 0x00008004 returns to the window's second word")
    assert judge((PUSH, MOV, call, POP))


@pytest.mark.parametrize(
    "jump",
    [
        0x979FF100,  # ldrls pc, [pc, r0, lsl #2]
        0xE08FF100,  # add pc, pc, r0, lsl #2
        0xE12FFF13,  # bx r3
        0xE1A0F003,  # mov pc, r3
        0xE593F000,  # ldr pc, [r3]
        0xE8938000,  # ldm r3, {pc}
        0xE8FD8000,  # ldm sp!, {pc}^
    ],
)
def test_indirect_branch_is_refused(jump):
    words = (PUSH, MOV, ADD, jump, POP)
    refused(words, "the indirect branch at 0x0000800c may go to the window's second word")


@pytest.mark.parametrize(
    "leave",
    [
        BX_LR,
        0x012FFF1E,  # bxeq lr
        0xE1A0F00E,  # mov pc, lr
        0xE8BD8010,  # pop {r4, pc}
        0xE49DF004,  # pop {pc}
        0xE91BA800,  # ldmdb fp, {fp, sp, pc}
    ],
)
def test_return_is_no_indirect_branch(leave):
    assert judge((MOV, MOV, ADD, leave))


def test_return_through_a_computed_link_register_is_refused():
    words = (PUSH, MOV, ADD, 0xE1A0E003, BX_LR)  # mov lr, r3
    refused(words, "the return at 0x00008010 goes where LR says, which 0x0000800c sets")
    assert judge((PUSH, MOV, ADD, 0xE1A0E003, POP))


@pytest.mark.parametrize("restored", [0xE8BD4010, 0xE49DE004])  # pop {r4, lr}; ldr lr, [sp], #4
def test_link_register_from_the_stack_is_a_return_address(restored):
    assert judge((PUSH, MOV, ADD, restored, BX_LR))


@pytest.mark.parametrize("index", [1, 2])
def test_data_in_the_window_is_refused(index):
    reason = f"0x{BASE + 4 * index:08x} is data: a literal pool or a table"
    refused(PLAIN, reason, data=(index,))


def test_literal_pool_elsewhere_in_the_function_is_no_code():
    assert judge((*PLAIN, 0xEAFFFFFA), data=(5,))  # as code it would be b 0x8008


def test_word_that_is_no_instruction_is_refused():
    refused(
        (*PLAIN, 0xFFFFFFFF),
        "the function cannot be followed: at 0x00008014, 0xffffffff matches no A32 instruction",
    )


def test_function_that_cannot_be_read_is_refused():
    refused(PLAIN, "0x00008014, in the same function, cannot be read", function=(BASE, BASE + 24))


#: words at 0x800c, where PC is 0x8014, and the address each names
LITERALS = [
    (0xE51F0010, 0x8004),  # ldr r0, [pc, #-16]
    (0xE51F000C, 0x8008),  # ldr r0, [pc, #-12]
    (0xE55F0009, 0x800B),  # ldrb r0, [pc, #-9]
    (0xE15F00BA, 0x800A),  # ldrh r0, [pc, #-10]
    (0xE14F00DC, 0x8008),  # ldrd r0, r1, [pc, #-12]
    (0xED1F0A03, 0x8008),  # vldr s0, [pc, #-12]
    (0xED1F0B03, 0x8008),  # vldr d0, [pc, #-12]
    (0xED1F0906, 0x8008),  # vldr.16 s0, [pc, #-12]
    (0xE24F000C, 0x8008),  # sub r0, pc, #12: adr
    (0xE24F0010, 0x8004),  # sub r0, pc, #16: adr
]


@pytest.mark.parametrize(("word", "address"), LITERALS)
def test_literal_in_the_window_is_refused(word, address):
    words = (PUSH, MOV, ADD, word, POP)
    refused(words, f"0x0000800c uses the address 0x{address:08x}, which lies in the window, as data")


@pytest.mark.parametrize(
    "word",
    [
        0xE51F0014,  # ldr r0, [pc, #-20]: 0x8000
        0xE51F0008,  # ldr r0, [pc, #-8]: 0x800c
        0xE59F000C,  # ldr r0, [pc, #12]
        0xE55F0011,  # ldrb r0, [pc, #-17]: 0x8003
        0xE55F0008,  # ldrb r0, [pc, #-8]: 0x800c
        0xE14F01DC,  # ldrd r0, r1, [pc, #-28]: 0x7ff8
        0xED1F090A,  # vldr.16 s0, [pc, #-20]: 0x8000
        0xED1F0A05,  # vldr s0, [pc, #-20]: 0x8000
        0xED1F0B02,  # vldr d0, [pc, #-8]: 0x800c
        0xE15F01B2,  # ldrh r0, [pc, #-18]: 0x8002
        0xE24F0008,  # sub r0, pc, #8: adr 0x800c
        0xF55FF00C,  # pld [pc, #-12]: a hint reads nothing
        0xE28F0C01,  # add r0, pc, #256: adr, rotated immediate
        0xE08F0000,  # add r0, pc, r0: address of data in position-independent code
    ],
)
def test_literal_outside_the_window_is_allowed(word):
    assert judge((PUSH, MOV, ADD, word, POP))


@pytest.mark.parametrize(
    "word",
    [
        0xE79F0001,  # ldr r0, [pc, r1]
        0xE78F0001,  # str r0, [pc, r1]
        0xE19F00B1,  # ldrh r0, [pc, r1]
    ],
)
def test_access_relative_to_pc_that_cannot_be_told_is_refused(word):
    words = (PUSH, MOV, ADD, word, POP)
    refused(words, "0x0000800c accesses an address relative to PC that cannot be told")


def test_link_register_set_from_pc_to_the_second_word_is_refused():
    """`mov lr, pc; bx r3` calls, and comes back two words behind the mov."""
    words = (0xE1A0E00F, MOV, ADD, POP)  # mov lr, pc at 0x8000: lr = 0x8008
    refused(words, "0x00008000 uses the address 0x00008008, which lies in the window, as data")


def test_push_of_pc_in_an_apcs_frame_is_allowed():
    assert judge((0xE92DD800, MOV, ADD, 0xE91BA800))  # push {fp, ip, lr, pc}; ldmdb fp, {fp, sp, pc}


@pytest.mark.parametrize(
    ("words", "place"),
    [
        # ldrex r0, [r3]; add; strex ip, r2, [r3]: before, at and behind the window's words
        ((0xE1930F9F, MOV, 0xE183CF92, ADD, BX_LR), 0x8004),
        ((MOV, 0xE1930F9F, ADD, 0xE183CF92, BX_LR), 0x8008),
        ((0xE1930F9F, 0xE183CF92, ADD, NOP, BX_LR), 0x8004),
    ],
)
def test_window_that_would_split_an_exclusive_sequence_is_refused(words, place):
    load = BASE + 4 * words.index(0xE1930F9F)
    store = BASE + 4 * words.index(0xE183CF92)
    refused(
        words,
        f"0x{place:08x} lies between the load-exclusive at 0x{load:08x} and the store-exclusive at 0x{store:08x}",
    )


def test_window_is_planned_and_undone_with_its_thread_moved(bench):
    """A thread that stopped at the second word goes on in the out-of-line copy, and stays there."""
    original = MOV.to_bytes(4, "little") + ADD.to_bytes(4, "little")
    bench.memory[4:12] = original
    memory = bytes(bench.memory)
    bench.cpus[0].pc, bench.cpus[1].pc = SITE + 4, SITE
    detour, copy_of_second = 0x9000, 0x9010
    plan = plan_patch(
        [Write(SITE, original, far_jump(detour), "window")],
        new_code=[Write(detour, None, bytes(24), "detour")],
        moves=[(SITE + 4, copy_of_second)],
    )
    assert str(plan.classification) == (
        "STOP: 0x00008004: 2 instructions change, and a processor may execute one old and one new (DDI 0406C A3.5.4)"
    )
    records = execute(plan, bench)
    assert records == (PatchedBytes(SITE, original, bytes.fromhex("04f01fe5 00900000"), "window"),)
    assert [cpu.pc for cpu in bench.cpus] == [copy_of_second, SITE]
    restore(records, bench)
    assert bytes(bench.memory[:0x1000]) == memory[:0x1000]
