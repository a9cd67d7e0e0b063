"""What is particular to the emulator; what it shares with all targets is in contract.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from armprobe.errors import MissingDependency, TargetFault, UsageError
from armprobe.symbols import Image, Segment
from armprobe.targets.base import CPSR_T, TRAP, Region, Stop, StopReason
from armprobe.targets.counting import count_executions
from armprobe.targets.machine import Machine, Mapping
from armprobe.targets.unicorn import UnicornTarget

BASE = 0x8000
NOP = 0xE1A00000  # mov r0, r0
SELF = 0xEAFFFFFE  # b .


def make(*words: int, **registers: int) -> UnicornTarget:
    target = UnicornTarget.from_image(Image.from_words(words, base=BASE))
    set_registers(target, **registers)
    return target


def set_registers(target: UnicornTarget, **values: int) -> None:
    registers = target.read_registers()
    for name, value in values.items():
        setattr(registers, name, value)
    target.write_registers(registers)


def refuse(_address: int) -> bool:
    return False


def test_name_tells_the_processor() -> None:
    assert make(NOP).name == "Unicorn (cortex-a15)"


@pytest.mark.parametrize(("cpu", "architecture"), [("sa1110", 4), ("arm926", 5), ("arm1176", 6), ("max", 8)])
def test_architecture_follows_the_processor(cpu: str, architecture: int) -> None:
    target = UnicornTarget.from_image(Image.from_words([NOP], base=BASE), cpu=cpu)
    assert target.architecture == architecture
    assert target.run(refuse, until=BASE + 4).reason is StopReason.ADDRESS


def test_unknown_processor_is_refused_with_those_there_are() -> None:
    message = (
        "unknown processor 'cortex-m4'; armprobe emulates sa1110, arm926, arm946, arm1026, pxa270, arm1136, arm1176, "
        "arm11mpcore, cortex-r5, cortex-r5f, cortex-a7, cortex-a8, cortex-a9, cortex-a15, max"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$") as caught:
        UnicornTarget(cpu="cortex-m4")
    assert caught.value.hint == "Cortex-M processors run T32 only, which is not supported yet"


def test_missing_unicorn_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "unicorn", None)
    with pytest.raises(MissingDependency, match=r"^the embedded emulator needs Unicorn, which cannot be imported: "):
        UnicornTarget()
    with pytest.raises(MissingDependency) as caught:
        UnicornTarget()
    assert caught.value.hint == "pip install 'armprobe[emulate]'"


def test_image_gets_a_heap_and_a_stack_with_a_gap_between() -> None:
    image = Image("program", BASE, (Segment(BASE, b"\0" * 16, 0x1801),))
    target = UnicornTarget.from_image(image)
    assert [(region.name, region.start, region.end) for region in target.regions] == [
        ("image", 0x8000, 0xA000),
        ("heap", 0x10000, 0x110000),
        ("stack", 0x111000, 0x211000),
    ]
    assert target.read_registers().sp == 0x211000


def test_heap_follows_the_image_directly_where_there_is_room() -> None:
    target = UnicornTarget.from_image(Image("program", 0x20000, (Segment(0x20000, b"", 0x1801),)))
    heap = next(region for region in target.regions if region.name == "heap")
    assert heap.start == 0x22000


def test_entry_with_bit_0_starts_in_thumb_state() -> None:
    # movs r0, #5; b .
    target = UnicornTarget.from_image(Image("thumb", BASE | 1, (Segment(BASE, bytes.fromhex("0520 fee7"), 4),)))
    assert target.run(refuse, limit=1) == Stop(StopReason.LIMIT, BASE + 2)
    assert target.read_registers().r0 == 5


def test_thumb_state_survives_traps_and_restarts() -> None:
    # add r0, pc, #1; bx r0; then T32: movs r0, #5; bkpt #1; movs r1, #6; b .
    target = make(0xE28F0001, 0xE12FFF10, 0xBE012005, 0xE7FE2106)
    assert target.run(refuse) == Stop(StopReason.TRAP, BASE + 10)

    def on_trap(address: int) -> bool:
        set_registers(target, pc=address + 2, r5=77)
        return True

    assert target.run(on_trap, until=BASE + 14) == Stop(StopReason.ADDRESS, BASE + 14)
    registers = target.read_registers()
    assert (registers.r0, registers.r1, registers.r5) == (5, 6, 77)
    assert registers.cpsr & CPSR_T


def test_handler_may_change_to_thumb_state() -> None:
    # bkpt; b .; then T32: movs r0, #5; b .
    target = make(TRAP, SELF, 0xE7FE2005)

    def on_trap(address: int) -> bool:
        set_registers(target, pc=address + 8, cpsr=target.read_registers().cpsr | CPSR_T)
        return True

    assert target.run(on_trap, until=BASE + 10) == Stop(StopReason.ADDRESS, BASE + 10)
    assert target.read_registers().r0 == 5


def test_bit_0_of_pc_does_not_change_the_instruction_set() -> None:
    target = make(NOP, SELF, pc=BASE + 1)
    assert target.read_registers().pc == BASE
    assert target.run(refuse, until=BASE + 4) == Stop(StopReason.ADDRESS, BASE + 4)


def test_registers_of_another_mode_are_written_to_its_bank() -> None:
    target = make(SELF, sp=0x1000, lr=0x1004)
    svc = target.read_registers().cpsr
    set_registers(target, cpsr=svc & ~0x1F | 0x1F, sp=0x2000, lr=0x2004)
    set_registers(target, cpsr=svc, sp=0x3000)
    assert (target.read_registers().sp, target.read_registers().lr) == (0x3000, 0x2004)
    set_registers(target, cpsr=svc & ~0x1F | 0x1F, sp=0x4000, lr=0x2004)
    assert (target.read_registers().sp, target.read_registers().lr) == (0x4000, 0x2004)


@pytest.mark.parametrize(
    ("word", "access", "pc", "message"),
    [
        (0xE5900000, "read", BASE, "Invalid memory read (UC_ERR_READ_UNMAPPED)"),  # ldr r0, [r0]
        (0xE5800000, "write", BASE, "Invalid memory write (UC_ERR_WRITE_UNMAPPED)"),  # str r0, [r0]
        (0xE12FFF10, "fetch", 0x5000, "Invalid memory fetch (UC_ERR_FETCH_UNMAPPED)"),  # bx r0
    ],
)
def test_access_to_unmapped_memory_is_a_fault(word: int, access: str, pc: int, message: str) -> None:
    target = make(word, r0=0x5000)
    assert target.run(refuse) == Stop(StopReason.FAULT, pc, address=0x5000, access=access, message=message)
    assert target.read_registers().pc == pc


def test_write_to_flash_is_a_fault() -> None:
    flash = Machine("board", "cortex-a15", (Region(BASE, BASE + 0x1000, writable=False, name="flash"),), reset=BASE)
    # str r0, [pc, #-8]
    target = UnicornTarget.from_image(Image.from_words([0xE50F0008], base=BASE), machine=flash)
    stop = target.run(refuse)
    assert (stop.reason, stop.pc, stop.address, stop.access) == (StopReason.FAULT, BASE, BASE, "write")
    target.write_memory(BASE, b"\x01\x02\x03\x04")
    assert target.read_memory(BASE, 4) == b"\x01\x02\x03\x04"


@pytest.mark.parametrize(("word", "name"), [(0xEF000001, "SVC 0x1"), (0xE1600070, "SMC")])  # svc #1; smc #0
def test_calls_that_nobody_serves_are_faults_at_the_instruction(word: int, name: str) -> None:
    target = make(NOP, word)
    assert target.run(refuse) == Stop(
        StopReason.FAULT, BASE + 4, address=BASE + 4, access="undefined", message=f"{name}: nobody here serves it"
    )
    assert target.read_registers().pc == BASE + 4


def test_vfp_and_neon_are_enabled() -> None:
    # vmov.f32 s0, s0; vmrs r1, fpscr; vadd.i8 d0, d0, d0 (VADD.I8 in A32: f2000840 is vadd.i8 q0, q0, q0)
    assert make(0xEEB00A40, 0xEEF11A10, 0xF2000840).run(refuse, until=BASE + 12).reason is StopReason.ADDRESS


@pytest.mark.parametrize("hint", [0xE320F001, 0xE320F002])  # yield; wfe
def test_yield_and_wfe_go_on(hint: int) -> None:
    target = make(NOP, hint, 0xE3A00007, SELF)  # mov r0, #7
    assert target.run(refuse, until=BASE + 12) == Stop(StopReason.ADDRESS, BASE + 12)
    assert target.read_registers().r0 == 7


def test_wfe_before_an_undefined_instruction_does_not_hide_it() -> None:
    stop = make(NOP, 0xE320F002, 0xE7F000F0).run(refuse)  # wfe; udf #0
    assert (stop.reason, stop.pc, stop.access) == (StopReason.FAULT, BASE + 8, "undefined")


def test_limit_ends_early_at_wfe_and_says_so() -> None:
    stop = make(NOP, 0xE320F002, NOP, SELF).run(refuse, limit=100)  # wfe
    assert stop == Stop(StopReason.LIMIT, BASE + 8, message="ended early: WFE and YIELD lose count")


def test_wfi_ends_the_run_and_the_next_one_goes_on_behind_it() -> None:
    target = make(NOP, 0xE320F003, NOP, SELF)  # wfi
    message = "waits for an interrupt (WFI), and the emulator has none"
    assert target.run(refuse) == Stop(StopReason.EXIT, BASE + 8, message=message)
    assert target.run(refuse, until=BASE + 12) == Stop(StopReason.ADDRESS, BASE + 12)


def test_limit_counts_traps_as_instructions() -> None:
    target = make(TRAP, SELF)

    def on_trap(address: int) -> bool:
        set_registers(target, pc=address + 4)
        return True

    assert target.run(on_trap, limit=1).reason is StopReason.LIMIT


def test_limit_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^limit is a number of instructions, 1 or more, not 0$"):
        make(NOP).run(refuse, limit=0)


def test_a_handler_may_run_the_target_as_for_a_call() -> None:
    target = make(TRAP, SELF, 0xE2800001, 0xE2800001, TRAP, NOP)  # add r0, r0, #1
    seen: list[int] = []

    def on_trap(address: int) -> bool:
        registers = target.read_registers()
        seen.append(address)
        if address == BASE:
            set_registers(target, pc=BASE + 8)
            assert target.run(on_trap, until=BASE + 20) == Stop(StopReason.ADDRESS, BASE + 20)
            assert target.read_registers().r0 == 2
        registers.pc = address + 4
        target.write_registers(registers)
        return True

    assert target.run(on_trap, until=BASE + 4) == Stop(StopReason.ADDRESS, BASE + 4)
    assert seen == [BASE, BASE + 16]
    assert target.read_registers().r0 == 0


def test_run_within_a_run_with_a_limit_is_refused() -> None:
    message = "a handler can't run the target within a run that has a limit: Unicorn would lose count"
    target = make(TRAP)
    with pytest.raises(UsageError, match=f"^{message}$"):
        target.run(lambda _: target.run(refuse).reason is StopReason.TRAP, limit=5)


def test_slots_share_no_offset_in_their_region_with_other_memory() -> None:
    """Unicorn would throw away the code of one whenever the program writes to the other."""
    target = UnicornTarget.from_image(Image.from_words([NOP], base=BASE))
    memory = max(region.end - region.start for region in target.regions)
    for _ in range(3):
        slot = target.executable_memory.allocate(0x10000, 0, 32 << 20)
        region = next(region for region in target.regions if slot in region)
        assert slot - region.start == memory
        memory += 0x10000


def test_much_memory_for_slots_fits_within_reach_at_offsets_of_its_own() -> None:
    target = UnicornTarget.from_image(Image.from_words([NOP], base=BASE))
    before, size = target.regions, 0x10000
    slots = [target.executable_memory.allocate(size, 0, 32 << 20) for _ in range(96)]
    offsets = {slot - region.start for slot in slots for region in target.regions if slot in region}
    assert len(offsets) == len(slots)
    assert min(offsets) >= max(region.end - region.start for region in before)
    for slot in slots:
        target.write_memory(slot + size - 4, b"last")
        target.executable_memory.free(slot, size)
    assert target.regions == before


def test_handler_may_map_slots_and_jump_there() -> None:
    target = make(TRAP, SELF)

    def on_trap(_address: int) -> bool:
        slot = target.executable_memory.allocate(4096, 0x100000, 0x2000000)
        # mov r0, #42; ldr pc, [pc, #-4]; the address
        target.write_memory(slot, bytes.fromhex("2a00a0e3 04f01fe5") + (BASE + 4).to_bytes(4, "little"))
        target.code_sync.synchronize([(slot, slot + 12)])
        set_registers(target, pc=slot)
        return True

    assert target.run(on_trap, until=BASE + 4) == Stop(StopReason.ADDRESS, BASE + 4)
    assert target.read_registers().r0 == 42


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_ends_a_run_that_never_comes_back_to_python() -> None:
    target = make(TRAP, SELF)
    entered = threading.Event()

    def press() -> None:
        entered.wait()
        os.kill(os.getpid(), signal.SIGINT)

    def on_trap(address: int) -> bool:
        set_registers(target, pc=address + 4)
        entered.set()
        return True

    thread = threading.Thread(target=press)
    thread.start()
    stop = target.run(on_trap)
    thread.join()
    assert stop == Stop(StopReason.INTERRUPT, BASE + 4)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_ctrl_c_interrupts_the_handler_as_well() -> None:
    target = make(TRAP)
    reached = []

    def on_trap(_address: int) -> bool:
        signal.raise_signal(signal.SIGINT)
        reached.append("behind the first")
        signal.raise_signal(signal.SIGINT)
        reached.append("behind the second")
        return True

    assert target.run(on_trap) == Stop(StopReason.INTERRUPT, BASE)
    assert reached == ["behind the first"]


def test_run_in_another_thread_leaves_signals_alone() -> None:
    stops = []
    thread = threading.Thread(target=lambda: stops.append(make(NOP).run(refuse, until=BASE + 4)))
    thread.start()
    thread.join()
    assert stops == [Stop(StopReason.ADDRESS, BASE + 4)]


def test_emulator_counts_executions_by_itself_also_of_code_that_ran_before() -> None:
    target = make(0xE2500001, 0x1AFFFFFD, SELF, r0=100)  # subs r0, r0, #1; bne .-4
    target.run(refuse, until=BASE + 8)
    set_registers(target, r0=50, pc=BASE)
    with count_executions(target, [BASE, BASE + 4, BASE + 0x100]) as counts:
        target.run(refuse, until=BASE + 8)
    assert counts == {BASE: 50, BASE + 4: 50, BASE + 0x100: 0}
    set_registers(target, r0=50, pc=BASE)
    target.run(refuse, until=BASE + 8)
    assert counts[BASE] == 50


class Register:
    """A device that notes what is done to it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    def read(self, offset: int, size: int) -> int:
        self.seen.append(("read", offset, size))
        return 0x11223344

    def write(self, offset: int, size: int, value: int) -> None:
        self.seen.append((f"write {value:#x}", offset, size))


def board(device: Register) -> Machine:
    uart = Region(0x9000, 0xA000, executable=False, name="uart")
    return Machine("board", "cortex-a9", (Region(BASE, BASE + 0x1000, name="ram"),), devices=(Mapping(uart, device),),
                   reset=BASE)  # fmt: skip


def test_devices_are_read_and_written_by_the_program_alone() -> None:
    device = Register()
    # ldr r1, [r0, #4]; strb r1, [r0]; b .
    image = Image.from_words([0xE5901004, 0xE5C01000, SELF], base=BASE)
    target = UnicornTarget.from_image(image, machine=board(device))
    set_registers(target, r0=0x9000)
    assert target.name == "Unicorn (cortex-a9)"
    assert target.run(refuse, until=BASE + 8).reason is StopReason.ADDRESS
    assert device.seen == [("read", 4, 4), ("write 0x44", 0, 1)]
    for access, act in (("read", lambda: target.read_memory(0x8FFE, 4)),
                        ("write", lambda: target.write_memory(0x8FFE, b"1234"))):  # fmt: skip
        with pytest.raises(TargetFault, match=f"^cannot {access} 4 bytes at 0x00008ffe: that is a device, uart$"):
            act()
    assert len(device.seen) == 2
    assert target.executable_memory.allocate(4096, 0x8000, 0x12000) >= 0x10000


def test_exception_in_a_device_ends_the_run() -> None:
    device = Register()
    device.read = lambda _offset, _size: int("no number")  # type: ignore[method-assign]
    target = UnicornTarget.from_image(Image.from_words([0xE5901004, SELF], base=BASE), machine=board(device))
    set_registers(target, r0=0x9000)
    with pytest.raises(ValueError, match="no number"):
        target.run(refuse)


def test_image_outside_of_the_machine_is_refused() -> None:
    message = (
        "the image has 4 bytes for 0x00020000, where machine 'board' has no memory; it has ram 0x00008000..0x00009000"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        UnicornTarget.from_image(Image.from_words([NOP], base=0x20000), machine=board(Register()))


def test_memory_that_overlaps_is_refused() -> None:
    machine = Machine("board", "max", (Region(0x1000, 0x3000, name="ram"), Region(0x2000, 0x4000, name="rom")))
    message = r"^0x00002000\.\.0x00004000 overlaps ram at 0x00001000\.\.0x00003000$"
    with pytest.raises(UsageError, match=message):
        UnicornTarget.from_image(Image.from_words([], base=0), machine=machine)


FORKED = """
import os, signal, sys, threading
from armprobe.symbols import Image
from armprobe.targets.base import TRAP
from armprobe.targets.unicorn import UnicornTarget

def run(press):
    target = UnicornTarget.from_image(Image.from_words([TRAP, 0xEAFFFFFE], base=0x8000))  # bkpt; b .
    entered = threading.Event()

    def interrupt():
        entered.wait()
        os.kill(os.getpid(), signal.SIGINT)

    def on_trap(address):
        registers = target.read_registers()
        registers.pc = address + 4
        target.write_registers(registers)
        entered.set()
        return True

    if not press:
        return target.run(on_trap, until=0x8004)
    thread = threading.Thread(target=interrupt)
    thread.start()
    return target.run(on_trap)

print(run(False).reason.name, flush=True)
child = os.fork()
if child == 0:
    print(run(True).reason.name, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_ctrl_c_works_in_a_forked_process_as_well() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "ADDRESS\nINTERRUPT\n"
