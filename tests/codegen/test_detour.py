"""What a slot holds, instruction for instruction; that it works is shown by execution in tests/probes."""

import pytest
from tests.codegen.python_functions import define

from armprobe.codegen.actions import Call, Count, Record, Stop
from armprobe.codegen.assembler import row
from armprobe.codegen.detour import Handler, SlotCode, build_slot
from armprobe.codegen.filters import And, Compare, Constant, Register
from armprobe.codegen.handlers import compile_actions, compile_guard
from armprobe.codegen.python_subset import check_handler
from armprobe.errors import Refused
from armprobe.events.record import make_layout
from armprobe.isa.decoder import decode
from armprobe.isa.insn import REGISTER_NAMES
from armprobe.isa.liveness import EVERYTHING_LIVE, Live
from armprobe.isa.relocate import relocate
from armprobe.isa.usage import ALL_CORE, ALL_FLAGS

SITE, BASE, TRAP = 0x8000, 0x20000, 0xE1200070
ADD = 0xE0800001  # add r0, r0, r1
BX_LR = 0xE12FFF1E
EMPTY = make_layout([])
NO_FLAGS = Live(ALL_CORE, 0, 0)


def slot(word: int = ADD, *, handler: Handler | None = None, post: bool = False, base: int = BASE) -> SlotCode:
    return build_slot(base, (relocate(decode(word), SITE),), trap=TRAP, handler=handler, post=post)


def count(live: Live) -> Handler:
    return Handler(compile_actions((Count(),)), {"counter": 0x12345678}, live)


def rows(code: SlotCode) -> list[str]:
    return [decode(word).row.name for word in code.code.words]


def test_without_a_handler_a_slot_is_the_copy_and_the_way_back():
    code = slot()
    assert (code.entry, code.copy, code.stop, code.post) == (None, BASE, None, None)
    assert code.code.words == (ADD, 0xEA000000 | (SITE + 4 - (BASE + 4) - 8) // 4 & 0xFFFFFF)


def test_a_copy_that_never_falls_through_has_no_way_back():
    assert slot(0xE12FFF1E).code.words == (0xE12FFF1E,)  # bx lr


def test_a_counter_saves_the_two_registers_it_needs():
    code = slot(handler=count(NO_FLAGS))
    assert rows(code) == [
        "STMDB_A1", "MOV_immediate_A2", "MOVT_A1", "LDR_immediate_A1", "ADD_immediate_A1", "STR_immediate_A1", "LDM_A1",
        "ADD_register_A1", "B_A1",
    ]  # fmt: skip
    assert code.added == 9
    assert code.copy == BASE + 7 * 4


def test_an_atomic_counter_adds_15_instructions_at_most_where_nothing_is_dead():
    body = compile_actions((Count(),), atomic=True)
    assert slot(handler=Handler(body, {"counter": 0x12345678}, EVERYTHING_LIVE)).added <= 15


def test_a_counter_saves_nothing_where_two_registers_are_dead():
    code = slot(handler=count(Live(ALL_CORE & ~(1 << 3 | 1 << 12), 0, ALL_FLAGS)))
    assert code.added == 7
    used = 0
    for word in code.code.words[:5]:
        used |= decode(word).usage.writes
    assert [REGISTER_NAMES[n] for n in range(16) if used >> n & 1] == ["r3", "r12"]


SMALL = Compare("<", Register("r0"), Constant(5))


def test_flags_are_kept_in_a_register_only_where_they_are_live():
    handler = compile_actions((Count(filter=SMALL),))
    symbols = {"counter": 0x12345678}
    assert "MRS_A1" not in rows(slot(handler=Handler(handler, symbols, NO_FLAGS)))
    names = rows(slot(handler=Handler(handler, symbols, EVERYTHING_LIVE)))
    assert names.index("MRS_A1") < names.index("CMP_immediate_A1") < names.index("MSR_register_A1")


def test_a_guard_that_rejects_saves_only_what_it_changes_and_never_gets_to_the_body():
    handler = Handler(compile_actions((Count(),)), {"counter": 0x12345678}, EVERYTHING_LIVE, compile_guard(SMALL))
    code = slot(handler=handler)
    assert rows(code) == [
        "STR_immediate_A1", "MRS_A1", "CMP_immediate_A1", "B_A1", "MSR_register_A1", "LDR_immediate_A1",
        "ADD_register_A1", "B_A1",
        # the condition holds
        "MSR_register_A1", "LDR_immediate_A1",
        "STMDB_A1", "MOV_immediate_A2", "MOVT_A1", "LDR_immediate_A1", "ADD_immediate_A1", "STR_immediate_A1", "LDM_A1",
        "B_A1",
    ]  # fmt: skip
    assert (code.rejected, code.added, code.copy) == (8, 16, BASE + 6 * 4)


def test_a_guard_needs_no_memory_where_a_register_is_dead():
    live = EVERYTHING_LIVE._replace(core=ALL_CORE & ~(1 << 12))
    handler = Handler(compile_actions((Stop(),)), {}, live, compile_guard(SMALL))
    assert slot(handler=handler).rejected == 6


def test_an_argument_is_read_where_it_is_and_kept_from_being_overwritten():
    """r5 is compared itself, and the flags are in no register that is compared."""
    guard = compile_guard(And(Compare("<", Register("r5"), Constant(5)), Compare(">", Register("lr"), Constant(7))))
    core = ALL_CORE & ~(1 << 5 | 1 << 14)  # dead after the site, but looked at
    code = slot(handler=Handler(compile_actions((Stop(),)), {}, EVERYTHING_LIVE._replace(core=core), guard))
    insns = [decode(word) for word in code.code.words]
    compared = {insn.fields["Rn"] for insn in insns if insn.row.name == "CMP_immediate_A1"}
    flags = {insn.fields["Rd"] for insn in insns if insn.row.name == "MRS_A1"}
    assert compared == {5, 14}
    assert not flags & compared
    assert not any(insn.row.name.startswith("MOV_register") for insn in insns)


def test_a_stop_restores_on_its_way_out():
    handler = compile_actions((Count(), Record(EMPTY, 64, stops=True), Stop(SMALL)))
    symbols = dict.fromkeys(handler.symbols, 0x12345678)
    code = slot(handler=Handler(handler, symbols, EVERYTHING_LIVE))
    words = code.code.words
    assert words.count(TRAP) == 2
    assert {words[(code.drain - BASE) // 4], words[(code.stop - BASE) // 4]} == {TRAP}
    assert [decode(word).row.name for word in words].count(row("MSR_register_A1").name) == 3


def test_a_ring_that_is_nearly_full_is_seen_to_on_the_way_out_of_a_skipped_function():
    program = check_handler(define("def handler(r0):\n    emit(a=r0)\n    skip(r0)\n"), lambda _: None).program
    body = compile_actions((Call(program, 64),))
    handler = Handler(body, dict.fromkeys(body.symbols, 0x12345678), EVERYTHING_LIVE)
    for trap, stands in ((TRAP, TRAP), (None, BX_LR)):
        code = build_slot(BASE, (relocate(decode(ADD), SITE),), trap=trap, handler=handler)
        words = code.code.words
        assert code.skip == code.drain_and_skip + 4
        assert (words[(code.drain_and_skip - BASE) // 4], words[(code.skip - BASE) // 4]) == (stands, BX_LR)
        assert words.count(BX_LR) == (2 if trap else 3)


def test_a_post_copy_ends_in_a_trap():
    code = slot(post=True)
    assert code.code.words[(code.post_copy - BASE) // 4 :] == (ADD, TRAP)
    assert code.post == code.post_copy + 4


def test_a_post_handler_after_a_load_exclusive_is_refused():
    with pytest.raises(Refused) as caught:
        slot(0xE1902F9F, post=True)  # ldrex r2, [r0]
    assert str(caught.value) == (
        "a post handler at 0x00008000 would stop between a load-exclusive and its store-exclusive, which would then "
        "fail for ever"
    )


def test_a_far_slot_goes_back_by_a_literal():
    code = slot(base=0x10000000)
    assert [line.data for line in code.code.lines] == [False, False, True]
    assert code.code.words[-1] == SITE + 4
