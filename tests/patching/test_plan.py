"""Plans are data: their order, their listing, and what is no plan."""

from __future__ import annotations

import re

import pytest

from armprobe.errors import UsageError
from armprobe.patching import Change, MoveThreads, Sync, Write, plan_patch

PUSH = bytes.fromhex("10402de9")  # push {r4, lr}
BKPT = bytes.fromhex("700020e1")  # bkpt #0
B = bytes.fromhex("fe0300ea")  # b .+0x1000
SITE = Write(0x8000, PUSH, B, "branch to the detour of main")
DETOUR = Write(0x9000, None, bytes(24), "detour of main")


def test_new_code_is_synchronised_before_any_site_is_written():
    plan = plan_patch([SITE], new_code=[DETOUR], moves=[(0x8004, 0x9010)])
    assert plan.steps == (
        DETOUR,
        Sync(((0x9000, 0x9018),)),
        SITE,
        MoveThreads(((0x8004, 0x9010),)),
        Sync(((0x8000, 0x8004),)),
    )


def test_plan_prints_as_a_numbered_listing_with_the_reason_for_a_stop():
    assert str(plan_patch([SITE], new_code=[DETOUR], moves=[(0x8004, 0x9010)])) == (
        "1. write 24 bytes at 0x00009000 (detour of main)\n"
        "2. synchronise 0x00009000..0x00009018\n"
        "3. change 0x00008000 from 0xe92d4010 to 0xea0003fe (branch to the detour of main)\n"
        "4. move threads from 0x00008004 to 0x00009010\n"
        "5. synchronise 0x00008000..0x00008004\n"
        "STOP: 0x00008000: the old word 0xe92d4010 is not B, BL, NOP, BKPT, SVC, HVC or SMC (DDI 0406C A3.5.4)"
    )


def test_one_listed_site_keeps_its_own_rule():
    plan = plan_patch([Write(0x8000, BKPT, B, "optimize")])
    assert str(plan.classification) == "LIVE: BKPT and B are both listed (DDI 0406C A3.5.4)"


def test_batch_is_live_only_when_every_site_is():
    live = [Write(0x8000 + 4 * n, BKPT, B, "optimize") for n in range(3)]
    assert str(plan_patch(live).classification) == "LIVE: every site may change live"
    for position in range(4):
        batch = [*live[:position], Write(0x9000, PUSH, B, "optimize"), *live[position:]]
        plan = plan_patch(batch)
        assert plan.classification.change is Change.STOP
        assert plan.classification.rule.startswith("0x00009000: the old word 0xe92d4010 is not ")


def test_new_code_alone_changes_no_site():
    assert str(plan_patch([], new_code=[DETOUR]).classification) == "LIVE: no site changes"


def test_empty_plan_has_no_steps():
    assert plan_patch([]).steps == ()


def test_ranges_that_touch_are_synchronised_as_one():
    sites = [Write(address, BKPT, B, "site") for address in (0x8010, 0x8000, 0x8004, 0x800C)]
    assert plan_patch(sites).steps[-1] == Sync(((0x8000, 0x8008), (0x800C, 0x8014)))


def test_listing_names_four_ranges_and_counts_the_rest():
    ranges = tuple((n, n + 4) for n in range(0, 48, 8))
    assert str(Sync(ranges)) == (
        "synchronise 0x00000000..0x00000004, 0x00000008..0x0000000c, 0x00000010..0x00000014, 0x00000018..0x0000001c "
        "and 2 more"
    )


@pytest.mark.parametrize(
    ("sites", "new_code", "message"),
    [
        ([Write(0x8002, BKPT, B, "site")], [],
         "a write is not empty and begins at a multiple of 4 within the address space, not at 0x00008002 (site)"),
        ([], [Write(0x9002, None, B, "detour")],
         "a write is not empty and begins at a multiple of 4 within the address space, not at 0x00009002 (detour)"),
        ([], [Write(0x9000, None, b"", "detour")],
         "a write is not empty and begins at a multiple of 4 within the address space, not at 0x00009000 (detour)"),
        ([], [Write(0xFFFFFFFC, None, bytes(8), "detour")],
         "a write is not empty and begins at a multiple of 4 within the address space, not at 0xfffffffc (detour)"),
        ([Write(0x8000, BKPT, B + B, "site")], [], "the write at 0x00008000 (site) replaces 4 bytes by 8"),
        ([Write(0x8000, None, B, "site")], [], "the site 0x00008000 (site) needs the bytes it replaces"),
        ([Write(0x8004, BKPT, B, "two"), Write(0x8000, PUSH + BKPT, B + B, "one")], [],
         "two writes overlap: 0x00008000 (one) and 0x00008004 (two)"),
        ([Write(0x9004, BKPT, B, "site")], [DETOUR],
         "two writes overlap: 0x00009000 (detour of main) and 0x00009004 (site)"),
    ],
)  # fmt: skip
def test_impossible_write_is_an_error(sites, new_code, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        plan_patch(sites, new_code=new_code)


def test_write_up_to_the_end_of_the_address_space_is_possible():
    plan_patch([Write(0xFFFFFFFC, BKPT, B, "site")])


def test_plans_compare_by_value():
    assert plan_patch([SITE], new_code=[DETOUR]) == plan_patch([SITE], new_code=[DETOUR])
    assert plan_patch([SITE]) != plan_patch([SITE], new_code=[DETOUR])


@pytest.mark.parametrize("traps", [{"clear_traps": [0x8000]}, {"set_traps": [0x8000]}])
def test_traps_of_the_target_need_a_stop_even_where_the_write_beside_them_does_not(traps):
    plan = plan_patch([Write(0x8000, BKPT, B, "optimize")], **traps)
    assert str(plan.classification) == "STOP: the target changes its own traps only while stopped"
