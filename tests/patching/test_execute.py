"""The executor: all of a plan or nothing of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armprobe.errors import Refused, TargetError, TargetFault, TargetLost
from armprobe.isa.branch import branch_word
from armprobe.patching import PatchedBytes, PatchPlan, Write, execute, plan_patch, plan_restore, restore
from armprobe.targets.fake import FakeTarget

B = bytes.fromhex("fe0300ea")  # b .+0x1000
CODE = bytes.fromhex("0000a0e1") * 6  # mov r0, r0


def held(bench, address, size=4):
    return bytes(bench.memory[address - 0x8000 : address - 0x8000 + size])


def site(bench, address, code=B):
    return Write(address, held(bench, address, len(code)), code, "a site")


def full_plan(bench):
    """Two detours, three sites (one is a window) and a thread stopped in the window."""
    bench.cpus[1].pc = 0x8104
    return plan_patch(
        [site(bench, 0x8000), site(bench, 0x8100, B + B), site(bench, 0x8200)],
        new_code=[Write(0x9000, None, CODE, "detour 1"), Write(0xA000, None, CODE, "detour 2")],
        moves=[(0x8104, 0x9010)],
    )


def test_plan_is_carried_out_in_its_order(bench):
    plan = full_plan(bench)
    records = execute(plan, bench)
    changes = [(action, address) for action, address in bench.log if not action.startswith("read")]
    assert changes == [
        ("write", 0x9000), ("write", 0xA000), ("sync", 0x9000), ("sync", 0xA000),
        ("write", 0x8000), ("write", 0x8100), ("write", 0x8200), ("write registers", 1),
        ("sync", 0x8000), ("sync", 0x8100), ("sync", 0x8200),
    ]  # fmt: skip
    assert [record.address for record in records] == [0x8000, 0x8100, 0x8200]
    assert records[0] == PatchedBytes(0x8000, bytes([0, 1, 2, 3]), B, "a site")
    assert [held(bench, 0x9000, 24), held(bench, 0x8100, 8)] == [CODE, B + B]


def test_thread_in_the_window_goes_on_out_of_line_and_no_other_moves(bench):
    bench.cpus[0].pc = 0x8100
    execute(full_plan(bench), bench)
    assert [cpu.pc for cpu in bench.cpus] == [0x8100, 0x9010]


def test_target_without_threads_moves_its_only_one(bench):
    bench.threads = None
    plan = full_plan(bench)
    bench.cpus[0].pc = 0x8104
    execute(plan, bench)
    assert bench.cpus[0].pc == 0x9010


def test_target_without_code_sync_is_left_to_itself(bench):
    bench.code_sync = None
    execute(full_plan(bench), bench)
    assert held(bench, 0x8000) == B


def test_instruction_fetch_sees_a_detour_before_it_sees_the_branch_to_it():
    """The fake target's fetch sees what was synchronised, and nothing else."""
    target = FakeTarget([0xE1200070] * 4)  # bkpt #0
    slot = target.allocate(4096, 0, 1 << 32)
    branch = branch_word(0x8004, slot).to_bytes(4, "little")
    plan = plan_patch(
        [Write(0x8004, bytes.fromhex("700020e1"), branch, "a site")], new_code=[Write(slot, None, CODE, "detour")]
    )
    seen = []
    for steps in range(len(plan.steps) + 1):
        execute(PatchPlan(plan.steps[:steps], plan.classification), target)
        seen.append((hex(target.fetch(slot)), hex(target.fetch(0x8004))))
        target.write_memory(0x8004, bytes.fromhex("700020e1"))
    new = hex(int.from_bytes(branch, "little"))
    assert seen == [
        ("0x0", "0xe1200070"),
        ("0x0", "0xe1200070"),
        ("0xe1a00000", "0xe1200070"),
        ("0xe1a00000", "0xe1200070"),
        ("0xe1a00000", new),
    ]


def test_instruction_fetch_sees_the_old_code_again_after_a_failure(monkeypatch):
    target = FakeTarget([0xE1200070] * 4)  # bkpt #0
    records = []
    synchronize = target.synchronize

    def fail_after_the_second(ranges):
        synchronize(ranges)
        records.append(ranges)
        if len(records) == 2:
            raise TargetError("the cache operation failed")

    monkeypatch.setattr(target, "synchronize", fail_after_the_second)
    plan = plan_patch(
        [Write(0x8004, bytes.fromhex("700020e1"), B, "a site")], new_code=[Write(0x8100, None, CODE, "detour")]
    )
    with pytest.raises(TargetError):
        execute(plan, target)
    assert [target.fetch(address) for address in (0x8000, 0x8004, 0x8100)] == [0xE1200070, 0xE1200070, 0]


def test_all_sites_are_compared_before_anything_is_written(bench):
    plan = full_plan(bench)
    bench.memory[0x200:0x204] = CODE[:4]
    memory = bytes(bench.memory)
    message = "0x00008200 (a site) should hold 0x03020100 but holds 0xe1a00000; nothing was written"
    with pytest.raises(Refused, match=f"^{re.escape(message)}$") as caught:
        execute(plan, bench)
    assert caught.value.hint == "the program or another debugger changed its code meanwhile"
    assert bytes(bench.memory) == memory
    assert not any(action in ("write", "sync") for action, _ in bench.log)


def count_actions(make_bench):
    bench = make_bench()
    execute(full_plan(bench), bench)
    return len(bench.log)


@pytest.mark.parametrize("fault", [TargetError, KeyboardInterrupt, OSError])
def test_failure_at_any_action_leaves_memory_and_threads_as_they_were(make_bench, fault):
    for failing in range(count_actions(make_bench)):
        bench = make_bench()
        plan = full_plan(bench)
        memory, pcs = bytes(bench.memory), [cpu.pc for cpu in bench.cpus]
        countdown = iter(range(failing, -1, -1))

        def fail_once(action, address, countdown=countdown):
            if next(countdown, None) == 0:
                raise fault(f"{action} at {address:#x} failed")

        bench.before = fail_once
        with pytest.raises(fault) as caught:
            execute(plan, bench)
        assert bytes(bench.memory) == memory, f"action {failing} failed with {caught.value}"
        assert [cpu.pc for cpu in bench.cpus] == pcs, f"action {failing} failed with {caught.value}"


def test_site_that_was_restored_after_a_failure_is_synchronised_again(bench):
    def fail(action, address):
        if (action, address) == ("write", 0x8200):
            raise TargetFault("cannot write 4 bytes at 0x00008200", address=address, size=4)

    plan = full_plan(bench)
    bench.before = fail
    with pytest.raises(TargetError):
        execute(plan, bench)
    after_the_last_write = bench.log[len(bench.log) - bench.log[::-1].index(("write", 0x9000)) :]
    assert {address for action, address in after_the_last_write if action == "sync"} == {
        0x8000, 0x8100, 0x8200, 0x9000, 0xA000,
    }  # fmt: skip


def test_failure_names_the_step_and_says_that_all_was_undone(bench):
    def fail(action, address):
        if (action, address) == ("write", 0x8100):
            raise TargetFault("cannot write 8 bytes at 0x00008100", address=address, size=8, hint="is it flash?")

    plan = full_plan(bench)
    bench.before = fail
    message = (
        "step 5 of 8 (change 0x00008100 from 0x03020100 0x07060504 to 0xea0003fe 0xea0003fe (a site)) failed: "
        "cannot write 8 bytes at 0x00008100; everything before it was undone"
    )
    with pytest.raises(TargetError, match=f"^{re.escape(message)}$") as caught:
        execute(plan, bench)
    assert (caught.value.evidence, caught.value.hint) == ("", "is it flash?")
    assert isinstance(caught.value.__cause__, TargetFault)


def test_memory_that_ignores_writes_is_found_by_reading_back(bench):
    plan = plan_patch([site(bench, 0x8000)])
    bench.write_memory = lambda address, data: bench.note("write", address)
    message = (
        "step 1 of 2 (change 0x00008000 from 0x03020100 to 0xea0003fe (a site)) failed: 0x00008000 should hold "
        "0xea0003fe after the write but holds 0x03020100; everything before it was undone"
    )
    with pytest.raises(TargetError, match=f"^{re.escape(message)}$") as caught:
        execute(plan, bench)
    assert caught.value.hint == "is it flash or read-only memory?"


def test_what_cannot_be_undone_is_listed(bench):
    plan = plan_patch([site(bench, 0x8000), site(bench, 0x8200)])

    def fail_for_good(action, address):
        if action == "write" and ("write", 0x8000) in bench.log:
            raise TargetLost("the connection is closed")

    bench.before = fail_for_good
    with pytest.raises(TargetLost, match=r"; not everything could be undone$") as caught:
        execute(plan, bench)
    assert caught.value.evidence == "0x00008000 (a site) held 0x03020100: the connection is closed"


def test_what_an_interrupt_leaves_behind_is_noted_on_it(bench):
    plan = plan_patch([site(bench, 0x8000), site(bench, 0x8200)])

    def interrupt(action, address):
        if action == "write" and ("write", 0x8000) in bench.log:
            raise KeyboardInterrupt if address == 0x8200 else TargetLost("the connection is closed")

    bench.before = interrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        execute(plan, bench)
    assert caught.value.__notes__ == ["0x00008000 (a site) held 0x03020100: the connection is closed"]


@pytest.mark.parametrize("fault", [TargetError, OSError, KeyboardInterrupt])
def test_one_place_that_cannot_be_restored_does_not_keep_others_from_it(bench, fault):
    plan = plan_patch([site(bench, address) for address in (0x8000, 0x8100, 0x8200)])

    def fail(action, address):
        if action == "sync" or (action == "write" and address == 0x8100 and ("write", 0x8200) in bench.log):
            raise fault(f"{action} failed")

    bench.before = fail
    with pytest.raises(fault):
        execute(plan, bench)
    assert [held(bench, address) for address in (0x8000, 0x8100, 0x8200)] == [
        bytes([0, 1, 2, 3]),
        B,
        bytes([0, 1, 2, 3]),
    ]


def test_only_thread_that_cannot_be_moved_back_after_a_second_interrupt_is_noted(bench):
    bench.threads = None
    plan = full_plan(bench)
    bench.cpus[0].pc = 0x8104

    def interrupt(action, address):
        if (action, address) == ("sync", 0x8000) or (action.startswith("write reg") and (action, 0) in bench.log):
            raise KeyboardInterrupt

    bench.before = interrupt
    with pytest.raises(KeyboardInterrupt) as caught:
        execute(plan, bench)
    assert caught.value.__notes__ == [
        "the PC could not be set back to 0x00008104: KeyboardInterrupt",
        "the restored code could not be synchronised: KeyboardInterrupt",
    ]


def test_thread_that_cannot_be_moved_back_is_listed(bench):
    plan = full_plan(bench)

    def fail(action, address):
        if (action, address) == ("sync", 0x8000) or (action.startswith("write reg") and (action, 1) in bench.log):
            raise TargetError(f"{action} failed")

    bench.before = fail
    with pytest.raises(TargetError) as caught:
        execute(plan, bench)
    assert caught.value.evidence == (
        "the PC of thread 1 could not be set back to 0x00008104: write registers failed\n"
        "the restored code could not be synchronised: sync failed"
    )


def test_restore_puts_back_every_byte_of_the_sites(bench):
    memory = bytes(bench.memory)
    records = execute(plan_patch([site(bench, 0x8000), site(bench, 0x8100, B + B)]), bench)
    assert bytes(bench.memory) != memory
    restore(records, bench)
    assert bytes(bench.memory) == memory


def test_restore_plan_says_what_it_does():
    plan = plan_restore([PatchedBytes(0x8000, CODE[:4], B, "a site")])
    assert str(plan) == (
        "1. change 0x00008000 from 0xea0003fe to 0xe1a00000 (restore: a site)\n"
        "2. synchronise 0x00008000..0x00008004\n"
        "STOP: 0x00008000: the new word 0xe1a00000 is not B, BL, NOP, BKPT, SVC, HVC or SMC (DDI 0406C A3.5.4)"
    )


def test_bytes_the_program_changed_meanwhile_are_not_overwritten(bench):
    records = execute(plan_patch([site(bench, 0x8000), site(bench, 0x8200)]), bench)
    bench.memory[0x200:0x204] = CODE[:4]
    memory = bytes(bench.memory)
    message = "0x00008200 (restore: a site) should hold 0xea0003fe but holds 0xe1a00000; nothing was written"
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        restore(records, bench)
    assert bytes(bench.memory) == memory


@given(data=st.data())
def test_random_batch_with_a_random_failure_is_all_or_nothing(make_bench, data):
    places = data.draw(st.lists(st.integers(0, 0xFFF), min_size=1, max_size=8, unique=True), label="word numbers")
    split = data.draw(st.integers(0, len(places)), label="new code among them")
    failing = data.draw(st.integers(0, 60), label="action that fails")
    bench = make_bench()
    memory = bytes(bench.memory)
    plan = plan_patch(
        [site(bench, 0x8000 + 4 * place) for place in places[split:]],
        new_code=[Write(0x8000 + 4 * place, None, CODE[:4], "new code") for place in places[:split]],
    )

    def fail(action, address):
        if len(bench.log) == failing:
            bench.before = lambda action, address: None
            raise TargetError("an injected failure")

    bench.before = fail
    try:
        records = execute(plan, bench)
    except TargetError:
        assert bytes(bench.memory) == memory
        return
    bench.before = lambda action, address: None
    assert all(held(bench, 0x8000 + 4 * place) == CODE[:4] for place in places[:split])
    assert all(held(bench, 0x8000 + 4 * place) == B for place in places[split:])
    restore(records, bench)
    assert all(held(bench, record.address) == record.original for record in records)
