"""What a detour saves around the code of a handler."""

from armprobe.codegen.body import Body
from armprobe.codegen.detour import build_slot
from armprobe.codegen.frame import Handler, plan_frame
from armprobe.isa.decoder import decode
from armprobe.isa.liveness import EVERYTHING_LIVE
from armprobe.isa.relocate import relocate
from armprobe.isa.usage import ALL_FLAGS

#: `cmp r0, r0` and a body that says it changes every register but SP
BODY = Body((0xE1500000,), 1, (), ((0, "r0"), (1, "r1")), 0x5FFF, ALL_FLAGS, 0)


def test_flags_are_kept_on_the_stack_where_the_body_leaves_no_register_alone():
    frame = plan_frame(BODY, EVERYTHING_LIVE)
    assert frame.stacks_flags
    assert frame.flags not in (0, 1, 13)
    assert frame.pushed == (*range(13), 14)
    slot = build_slot(0x20000, (relocate(decode(0xE0800001), 0x8000),), trap=0xE1200070,
                      handler=Handler(BODY, {}, EVERYTHING_LIVE))  # fmt: skip
    names = [decode(word).row.name for word in slot.code.words]
    assert names[:4] == ["STMDB_A1", "MRS_A1", "STR_immediate_A1", "CMP_register_A1"]
    assert names[4:7] == ["LDR_immediate_A1", "MSR_register_A1", "LDM_A1"]


def test_a_register_that_the_body_leaves_alone_keeps_the_flags():
    frame = plan_frame(Body((0xE1500000,), 1, (), ((0, "r0"),), 0x000F, ALL_FLAGS, 0), EVERYTHING_LIVE)
    assert (frame.flags, frame.stacks_flags) == (4, False)
