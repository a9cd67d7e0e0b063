"""What functions do with their return address before they write LR."""

import pytest

from armprobe.isa.link import finds_out

BASE = 0x8000


def look(*words: int) -> tuple[int, str] | None:
    code = {BASE + 4 * index: word for index, word in enumerate(words)}
    return finds_out(code.get, BASE)


@pytest.mark.parametrize(
    "words",
    [
        [0xE12FFF1E],  # bx lr
        [0xE1A0F00E],  # mov pc, lr
        [0xE92D4010, 0xEB000000, 0xE8BD8010],  # push {r4, lr}; bl; pop {r4, pc}
        [0xE1A0C00E, 0xEB000000, 0xE12FFF1C],  # mov r12, lr; bl; bx r12
        [0xE52DE004, 0xE1A0E000, 0xE08EE001],  # push {lr}; mov lr, r0; add lr, lr, r1
        [0xE3500000, 0x0A000000, 0xE12FFF1E, 0xE1A0E000, 0xE5DE0000],  # a branch to mov lr, r0; ldrb r0, [lr]
        [0xE92D4000, 0x03A0E000, 0x13A0E001, 0xE08EE001],  # push {lr}; moveq lr, #0; movne lr, #1; add lr, lr, r1
        [0xE5801000],  # str r1, [r0], and nothing known behind it
    ],
)
def test_keeping_the_return_address_and_returning_by_it_is_not_looking(words):
    assert look(*words) is None


@pytest.mark.parametrize(
    ("words", "place", "use"),
    [
        ([0xE5DE0000], 0, "accesses memory relative to lr"),  # ldrb r0, [lr]
        ([0xE7DE0000], 0, "accesses memory relative to lr"),  # ldrb r0, [lr, r0]
        ([0xE790010E], 0, "accesses memory relative to lr"),  # ldr r0, [r0, lr, lsl #2]
        ([0xE08FF10E], 0, "computes with lr"),  # add pc, pc, lr, lsl #2
        ([0xE15E0000], 0, "computes with lr"),  # cmp lr, r0
        ([0xE1A0008E], 0, "computes with lr"),  # lsl r0, lr, #1
        ([0xE12FFF3E], 0, "calls through lr"),  # blx lr
        ([0xE25EF004], 0, "returns from an exception"),  # subs pc, lr, #4
        ([0xE92D4000, 0xE8FD8000], 1, "returns from an exception"),  # push {lr}; ldm sp!, {pc}^
        ([0x03A0E000, 0xE08EE001], 1, "computes with lr"),  # moveq lr, #0; add lr, lr, r1
        ([0x0A000001, 0xE12FFF1E, 0xE1A00000, 0xE5DE0000], 3, "accesses memory relative to lr"),  # beq past the return
    ],
)
def test_an_instruction_for_which_it_matters_what_the_return_address_is_is_found(words, place, use):
    assert look(*words) == (BASE + 4 * place, use)
