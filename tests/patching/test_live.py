"""What changes while other threads run: one instruction at a time, where they see it."""

from __future__ import annotations

import pytest

from armprobe.errors import Refused
from armprobe.isa.branch import branch_word
from armprobe.patching.live import check_live, own_loop
from armprobe.patching.plan import Write, plan_patch

_TRAP = 0xE125BE70
_BASE = 0x8000


PUSH, NOP, ADD, BX_LR, SVC, LDR_PC = 0xE92D4010, 0xE320F000, 0xE2800001, 0xE12FFF1E, 0xEF000000, 0xE590F000


def branch(offset: int, *, cond: int = 14, link: bool = False) -> int:
    """A branch so far from its own address."""
    return branch_word(_BASE, _BASE + offset, cond=cond, link=link)


def reader(*words: int, base: int = _BASE):
    return {base + 4 * number: word for number, word in enumerate(words)}.get


def stays(address: int) -> bool:
    """All of it is read-only code of a file."""
    return _BASE <= address < _BASE + 0x1000


def change(address: int, before: int, after: int) -> Write:
    return Write(address, before.to_bytes(4, "little"), after.to_bytes(4, "little"), "site")


@pytest.mark.parametrize(
    ("words", "loops"),
    [
        ((NOP, ADD, NOP, branch(-12)), {0: 12, 4: 12, 8: 12, 12: 12}),
        ((NOP, NOP, ADD, branch(-8, cond=1), BX_LR), {0: None, 4: 12, 8: 12, 12: 12, 16: None}),
        ((NOP, ADD, branch(12, cond=0), NOP, branch(-16), BX_LR), {0: None, 4: None, 12: None}),
        ((NOP, branch(-4, link=True), branch(4), BX_LR), {0: 4, 8: None}),
        ((SVC, NOP, branch(-8)), {0: None, 4: None}),
        ((LDR_PC, branch(0)), {0: None, 4: 4}),
        ((NOP,), {0: None}),
    ],
)
def test_a_loop_of_one_block_is_found_wherever_one_looks_in_it(words: tuple[int, ...], loops: dict[int, int | None]):
    found = {place: own_loop(reader(*words), _BASE + place) for place in loops}
    assert found == {place: None if end is None else _BASE + end for place, end in loops.items()}


def test_a_block_does_not_go_on_behind_its_page():
    read = reader(NOP, NOP, NOP, branch(-12), base=_BASE - 8)
    assert [own_loop(read, place) for place in range(_BASE - 8, _BASE + 8, 4)] == [None] * 4


def test_an_instruction_and_branches_replace_each_other_and_new_code_is_written():
    read = reader(PUSH, BX_LR)
    original, first, other = read(_BASE), branch_word(_BASE, 0x9000), branch_word(_BASE, 0x9100)
    code = [Write(0x9000, None, bytes(32), "slot")]
    for before, after in ((original, first), (first, other), (other, original)):
        check_live(plan_patch([change(_BASE, before, after)], new_code=code), trap=_TRAP, read_word=read, stays=stays)


def test_what_would_stop_a_thread_or_come_between_two_instructions_is_refused_with_the_reason():
    read = reader(PUSH, branch(0))
    window = Write(_BASE, read(_BASE).to_bytes(4, "little") + bytes(4), b"12345678", "window")
    for plan, reason in (
        (plan_patch([change(_BASE, read(_BASE), _TRAP)]), "a trap at 0x00008000 would stop one of them"),
        (plan_patch([], set_traps=[_BASE]), "a trap at 0x00008000 would stop one of them"),
        (plan_patch([], clear_traps=[_BASE]), "it takes a stop to clear the target's traps at 0x00008000"),
        (plan_patch([window]), "2 instructions at 0x00008000 would change, and a thread may be between them"),
        (plan_patch([], moves=[(_BASE + 4, 0x9000)]), "it takes a stop to move threads from 0x00008004 to 0x00009000"),
        (
            plan_patch([change(_BASE + 4, read(_BASE + 4), branch_word(_BASE + 4, 0x9000))]),
            (
                "0x00008004 lies in a loop without another branch than that at 0x00008004, and a thread that goes "
                "round there would not see the change"
            ),
        ),
    ):
        with pytest.raises(Refused, match=r"^other threads run, and can't be stopped for a change of code: ") as caught:
            check_live(plan, trap=_TRAP, read_word=read, stays=stays)
        assert caught.value.message.endswith(f": {reason}")


def test_code_that_the_program_may_write_itself_is_refused():
    plan = plan_patch(
        [change(0x20000, PUSH, branch_word(0x20000, 0x21000))], new_code=[Write(0x21000, None, bytes(8), "")]
    )
    with pytest.raises(Refused, match="0x00020000 is in no read-only code of the program's files"):
        check_live(plan, trap=_TRAP, read_word={0x20000: PUSH}.get, stays=stays)


def test_nothing_is_written_to_what_is_about_to_be_unmapped():
    read = reader(PUSH, BX_LR)
    plan = plan_patch([change(_BASE, branch_word(_BASE, 0x9000), read(_BASE))])
    check_live(plan, trap=_TRAP, read_word=read, stays=stays, fleeting=[(0x7000, _BASE), (_BASE + 4, 0x9000)])
    with pytest.raises(Refused, match="the library at 0x00008000 is just being unloaded"):
        check_live(plan, trap=_TRAP, read_word=read, stays=stays, fleeting=[(_BASE, 0x9000)])
