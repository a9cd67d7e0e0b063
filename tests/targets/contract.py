"""What every target must do, and what emulators do besides. `test_contract.py` holds each target against it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from armprobe.errors import Refused, TargetFault, UsageError
from armprobe.targets.base import Stop, StopReason, Target

BASE = 0x8000
NOP = 0xE1A00000  # mov r0, r0
SELF = 0xEAFFFFFE  # b .
BACK = 0xEAFFFFFD  # b .-4
UDF = 0xE7F000F0  # udf #0

Make = Callable[[Sequence[int]], Target]


def refuse(_address: int) -> bool:
    """A handler that knows no trap."""
    return False


def skip_word(target: Target) -> Callable[[int], bool]:
    """A handler that goes on behind the trap."""

    def on_trap(address: int) -> bool:
        registers = target.read_registers()
        registers.pc = address + 4
        target.write_registers(registers)
        return True

    return on_trap


def write_word(target: Target, address: int, word: int) -> None:
    target.write_memory(address, word.to_bytes(4, "little"))


def plant(target: Target, address: int) -> None:
    """Set a trap, in the way of the target."""
    if target.breakpoints is not None:
        target.breakpoints.insert([address])
    else:
        write_word(target, address, target.trap)
        synchronize(target, address)


def unplant(target: Target, address: int, word: int) -> None:
    """Take a trap away from where `word` stood."""
    if target.breakpoints is not None:
        target.breakpoints.remove([address])
    else:
        write_word(target, address, word)
        synchronize(target, address)


def synchronize(target: Target, address: int) -> None:
    if target.code_sync is not None:
        target.code_sync.synchronize([(address, address + 4)])


class Contract:
    """Cases for all targets; a subclass provides the fixture `make`."""

    #: why memory that is not there can't be read
    unmapped = "not all of it is mapped"

    def test_trap_word_is_bkpt_that_is_always_executed(self, make: Make) -> None:
        assert make([]).trap & 0xFFF000F0 == 0xE1200070

    def test_memory_reads_back_what_was_written(self, make: Make) -> None:
        target = make([NOP, NOP])
        target.write_memory(BASE + 1, b"\x11\x22\x33\x44\x55")
        assert target.read_memory(BASE, 8) == bytes.fromhex("00 1122334455 a0 e1")

    def test_memory_that_is_not_mapped_faults(self, make: Make) -> None:
        target = make([NOP])
        end = target.regions[-1].end
        for start, size in ((end, 4), (end - 2, 4)):
            message = f"cannot read 4 bytes at 0x{start:08x}: {self.unmapped}"
            with pytest.raises(TargetFault, match=f"^{re.escape(message)}$") as caught:
                target.read_memory(start, size)
            assert (caught.value.address, caught.value.size) == (start, size)

    def test_write_that_faults_changes_nothing(self, make: Make) -> None:
        target = make([NOP])
        start = [region for region in target.regions if region.readable][-1].end - 2
        before = target.read_memory(start, 2)
        with pytest.raises(TargetFault, match=f"^cannot write 4 bytes at 0x{start:08x}: "):
            target.write_memory(start, b"\xff\xff\xff\xff")
        assert target.read_memory(start, 2) == before

    def test_there_is_a_clock_or_a_reason(self, make: Make) -> None:
        target = make([NOP])
        assert (target.clock is None) is bool(target.no_clock)
        if target.clock is not None:
            assert target.clock.name
            assert target.clock.unit in ("ns", "instructions")
            assert target.clock.ns_per_tick > 0

    def test_the_task_is_known_or_there_is_a_reason(self, make: Make) -> None:
        target = make([NOP])
        assert target.no_task if target.task is None else None not in (target.task.tgid, target.task.comm)

    def test_registers_read_back_what_was_written(self, make: Make) -> None:
        target = make([NOP])
        registers = target.read_registers()
        registers.values[:] = [0x1000 * n + 4 for n in range(16)]
        registers.cpsr |= 0xF << 28
        target.write_registers(registers)
        assert target.read_registers() == registers

    def test_registers_are_a_copy(self, make: Make) -> None:
        target = make([NOP])
        target.read_registers().r0 = 0x1234
        assert target.read_registers().r0 != 0x1234

    def test_run_ends_before_the_instruction_at_until(self, make: Make) -> None:
        target = make([NOP, NOP, UDF])
        assert target.run(refuse, until=BASE + 8) == Stop(StopReason.ADDRESS, BASE + 8)
        assert target.read_registers().pc == BASE + 8

    def test_run_ends_at_once_when_it_is_at_until(self, make: Make) -> None:
        target = make([UDF])
        assert target.run(refuse, until=BASE) == Stop(StopReason.ADDRESS, BASE)

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 101])
    def test_run_ends_after_the_limit(self, make: Make, limit: int) -> None:
        target = make([NOP, NOP, BACK])
        stop = target.run(refuse, limit=limit)
        # nop, nop, b, nop, b, nop, ...
        assert stop == Stop(StopReason.LIMIT, BASE + 4 * (limit if limit < 3 else 2 - limit % 2))

    def test_trap_calls_the_handler_with_its_address(self, make: Make) -> None:
        target = make([NOP, NOP, NOP])
        plant(target, BASE + 4)
        seen = []

        def on_trap(address: int) -> bool:
            seen.append((address, target.read_registers().pc))
            return skip_word(target)(address)

        assert target.run(on_trap, until=BASE + 12) == Stop(StopReason.ADDRESS, BASE + 12)
        assert seen == [(BASE + 4, BASE + 4)]

    def test_registers_that_the_handler_sets_take_effect(self, make: Make) -> None:
        target = make([NOP, UDF, NOP, SELF])
        plant(target, BASE)

        def on_trap(_address: int) -> bool:
            registers = target.read_registers()
            registers.values[:13] = range(0x100, 0x10D)
            registers.sp, registers.lr, registers.pc = 0x9000, 0x9004, BASE + 8
            registers.cpsr = registers.cpsr & ~(0xF << 28) | 0x5 << 28
            target.write_registers(registers)
            assert target.read_registers() == registers
            return True

        assert target.run(on_trap, until=BASE + 12).reason is StopReason.ADDRESS
        registers = target.read_registers()
        assert registers.values == [*range(0x100, 0x10D), 0x9000, 0x9004, BASE + 12]
        assert registers.cpsr >> 28 == 5

    def test_trap_that_no_handler_knows_ends_the_run(self, make: Make) -> None:
        target = make([NOP, NOP, NOP])
        plant(target, BASE + 4)
        assert target.run(refuse) == Stop(StopReason.TRAP, BASE + 4)
        assert target.read_registers().pc == BASE + 4

    def test_handler_may_replace_the_trap_and_go_on_there(self, make: Make) -> None:
        target = make([NOP, NOP, NOP])
        plant(target, BASE + 4)
        hits = []

        def on_trap(address: int) -> bool:
            hits.append(address)
            unplant(target, address, NOP)
            return True

        assert target.run(on_trap, until=BASE + 12) == Stop(StopReason.ADDRESS, BASE + 12)
        assert hits == [BASE + 4]

    def test_exception_of_the_handler_ends_the_run_and_is_passed_on(self, make: Make) -> None:
        target = make([NOP, NOP, NOP])
        plant(target, BASE + 4)

        def on_trap(_address: int) -> bool:
            raise LookupError("from the handler")

        with pytest.raises(LookupError, match=r"^from the handler$"):
            target.run(on_trap)
        assert target.read_registers().pc == BASE + 4
        assert target.run(skip_word(target), until=BASE + 12).reason is StopReason.ADDRESS

    def test_handler_may_stop_the_run(self, make: Make) -> None:
        target = make([NOP, NOP, NOP, BACK])
        plant(target, BASE + 4)

        def on_trap(address: int) -> bool:
            target.stop()
            return skip_word(target)(address)

        assert target.run(on_trap) == Stop(StopReason.INTERRUPT, BASE + 8)
        assert target.read_registers().pc == BASE + 8
        assert target.run(refuse, limit=1) == Stop(StopReason.LIMIT, BASE + 12)

    def test_a_run_with_a_limit_stops_at_traps(self, make: Make) -> None:
        target = make([NOP, NOP, NOP, BACK])
        plant(target, BASE + 4)
        hits = []

        def on_trap(address: int) -> bool:
            hits.append(address)
            return skip_word(target)(address)

        # nop, trap, nop, b, nop, b
        assert target.run(on_trap, limit=6) == Stop(StopReason.LIMIT, BASE + 8)
        assert hits == [BASE + 4]

    def test_handler_may_run_the_target_from_elsewhere(self, make: Make) -> None:
        target = make([NOP, NOP, NOP, SELF, NOP, NOP])
        plant(target, BASE + 4)
        inner = []

        def on_trap(address: int) -> bool:
            registers = target.read_registers()
            called = registers.copy()
            called.pc, called.r0 = BASE + 16, 0x11
            target.write_registers(called)
            inner.append(target.run(refuse, until=BASE + 20))
            assert target.read_registers().r0 == 0x11
            registers.pc = address + 4
            target.write_registers(registers)
            return True

        registers = target.read_registers()
        registers.r0 = 0x22
        target.write_registers(registers)
        assert target.run(on_trap, until=BASE + 12) == Stop(StopReason.ADDRESS, BASE + 12)
        assert inner == [Stop(StopReason.ADDRESS, BASE + 20)]
        assert target.read_registers().r0 == 0x22


class EmulatorContract(Contract):
    """Cases for targets that run code by themselves: they sync it, give memory for slots, and tell of faults."""

    def test_code_written_while_it_runs_is_not_seen_before_it_is_synchronised(self, make: Make) -> None:
        trap = make([]).trap
        target = make([trap, NOP, 0xEAFFFFFC])  # trap; mov r0, r0; b .-8
        hits: list[int] = []

        def on_trap(address: int) -> bool:
            hits.append(address)
            if len(hits) == 3:
                write_word(target, BASE + 4, trap)
            if len(hits) == 6:
                assert hits == [BASE] * 6
                assert target.code_sync is not None
                target.code_sync.synchronize([(BASE + 4, BASE + 8)])
            if len(hits) == 10:
                target.stop()
            return skip_word(target)(address)

        assert target.run(on_trap).reason is StopReason.INTERRUPT
        assert hits == [BASE] * 6 + [BASE + 4, BASE, BASE + 4, BASE]

    def test_undefined_instruction_is_a_fault(self, make: Make) -> None:
        target = make([NOP, UDF])
        stop = target.run(refuse)
        assert (stop.reason, stop.pc, stop.address, stop.access) == (StopReason.FAULT, BASE + 4, BASE + 4, "undefined")

    def test_jump_to_nowhere_is_a_fault(self, make: Make) -> None:
        target = make([0xEA3FFFFE])  # b .+0x01000000
        stop = target.run(refuse)
        nowhere = BASE + 0x01000000
        assert (stop.reason, stop.pc, stop.address, stop.access) == (StopReason.FAULT, nowhere, nowhere, "fetch")

    def test_slots_are_allocated_within_the_range_and_away_from_all_memory(self, make: Make) -> None:
        target = make([NOP])
        assert target.executable_memory is not None
        before = list(target.regions)
        low, high = 0x100000, 0x2000000
        taken = [target.executable_memory.allocate(size, low, high) for size in (4096, 8192, 4096)]
        pages = [taken[0], taken[1], taken[1] + 4096, taken[2]]
        assert len(set(pages)) == 4
        for address, size in zip(taken, (4096, 8192, 4096), strict=True):
            assert low <= address
            assert address + size <= high
            assert address % 4096 == 0
            assert all(address + size <= region.start or region.end <= address for region in before)
            target.write_memory(address, b"\xaa" * size)
        assert target.read_memory(taken[0], 4096) == b"\xaa" * 4096

    def test_slots_run_and_are_given_back(self, make: Make) -> None:
        target = make([NOP])
        memory = target.executable_memory
        assert memory is not None
        before = list(target.regions)
        slot = memory.allocate(4096, 0x1000000, 0x2000000)
        write_word(target, slot, NOP)
        write_word(target, slot + 4, target.trap)
        assert target.code_sync is not None
        target.code_sync.synchronize([(slot, slot + 8)])
        registers = target.read_registers()
        registers.pc = slot
        target.write_registers(registers)
        assert target.run(refuse) == Stop(StopReason.TRAP, slot + 4)
        memory.free(slot, 4096)
        assert list(target.regions) == before
        with pytest.raises(TargetFault):
            target.read_memory(slot, 4)
        with pytest.raises(UsageError, match=f"^0x{slot:08x}, 4096 bytes, is no allocation$"):
            memory.free(slot, 4096)

    def test_slots_are_refused_where_no_room_is(self, make: Make) -> None:
        target = make([NOP])
        assert target.executable_memory is not None
        message = r"^no 8192 bytes of unused address space in 0x01000000\.\.0x01001000$"
        with pytest.raises(Refused, match=message):
            target.executable_memory.allocate(8192, 0x1000000, 0x1001000)
        with pytest.raises(UsageError, match=r"^memory for slots comes in multiples of 4096 bytes, not 100$"):
            target.executable_memory.allocate(100, 0, 1 << 32)
