"""Debian's U-Boot boots on the machine `virt`, as it does in QEMU."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from tests.targets import uboot

from armprobe.symbols import SymbolTable, resolve
from armprobe.targets.base import Registers, Stop, StopReason
from armprobe.targets.counting import count_executions
from armprobe.targets.unicorn import UnicornTarget
from armprobe.targets.virt import Pl011, virt

TYPED = b"\n\nversion\necho one two\npoweroff\n"


def refuse(_address: int) -> bool:
    return False


def boot(typed: bytes) -> tuple[UnicornTarget, bytearray]:
    output = bytearray()
    target = UnicornTarget.from_image(uboot.load(), machine=virt(output.extend, console_input=typed))
    return target, output


def comparable(console: bytes) -> str:
    """The console output without what depends on devices the machine does not have, and on when a key was typed.

    QEMU may drop the first key, when it comes before the serial port is set up.
    """
    text = console.decode().replace("\r", "")
    text = re.sub(r"^Hit any key .*$", "Hit any key ...", text, flags=re.MULTILINE)
    text = re.sub(r"(^=> \n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^Core: .*$", "Core: ...", text, flags=re.MULTILINE)
    text = re.sub(r"^Flash: .*$", "Flash: ...", text, flags=re.MULTILINE)
    return text.strip()


@pytest.mark.slow
def test_u_boot_prints_what_it_prints_in_qemu() -> None:
    target, output = boot(TYPED)
    assert target.run(refuse).reason is StopReason.EXIT
    qemu = shutil.which("qemu-system-arm")
    if qemu is None:
        pytest.skip("needs qemu-system-arm")
    arguments = ["-M", "virt", "-nographic", "-nic", "none", "-bios", str(uboot.DIRECTORY / "u-boot.bin")]
    real = subprocess.run([qemu, *arguments], input=TYPED, stdout=subprocess.PIPE, check=True, timeout=120).stdout
    assert comparable(bytes(output)) == comparable(real)
    assert "\n=> echo one two\none two\n=> poweroff\n" in comparable(real)


@pytest.mark.slow
def test_u_boot_waits_at_its_prompt() -> None:
    target, output = boot(b" ")
    assert target.run(refuse, limit=20_000_000).reason is StopReason.LIMIT
    assert output.endswith(b"\r\n=> ")


@pytest.mark.slow
def test_functions_of_u_boot_are_found_by_name_after_it_relocated_itself() -> None:
    target, output = boot(b" \nbdinfo\nversion\necho\nversion\npoweroff\n")
    linked = SymbolTable.from_image(uboot.load())
    assert len(linked.symbols) > 50
    image_end = linked.ranges[0][1]
    # The relocation is known before: the top of RAM, less what U-Boot reserves there. bdinfo confirms it.
    bias = uboot.RELOCATION
    moved = linked.rebased(bias)
    version, echo, putc = (resolve(name, moved)[0] for name in ("do_version", "do_echo", "serial_pl01x.putc"))
    assert moved.describe(version.address) == "do_version"
    assert not any(start <= version.address < end for start, end in linked.ranges)
    assert bias <= version.address < bias + image_end
    addresses = [version.address, echo.address, putc.address, version.address - bias]
    with count_executions(target, addresses) as counts:
        assert target.run(refuse) == Stop(StopReason.EXIT, target.read_registers().pc, exit_code=0)
    assert re.search(rb"relocaddr   = 0x([0-9a-f]+)", output)[1] == b"%08x" % bias  # type: ignore[index]
    after_relocation = output[output.index(b"Core:") :]
    assert counts.pop(putc.address) >= len(after_relocation)
    assert counts == {version.address: 2, echo.address: 1, version.address - bias: 0}


@pytest.mark.slow
def test_slots_near_relocated_code_run_after_u_boot_turned_the_mmu_on() -> None:
    target, output = boot(b" \nversion\npoweroff\n")
    address = resolve("do_version", SymbolTable.from_image(uboot.load()).rebased(uboot.RELOCATION))[0].address
    assert target.run(refuse, until=address).reason is StopReason.ADDRESS
    memory = target.executable_memory
    slot = memory.allocate(4096, address - (31 << 20), address + (31 << 20))
    assert 0x46400000 <= slot < 0x46800000
    displaced = target.read_memory(address, 4)
    branch = (0xEA000000 | (slot - address - 8 >> 2) & 0xFFFFFF).to_bytes(4, "little")
    back = (0xEA000000 | (address + 4 - (slot + 4) - 8 >> 2) & 0xFFFFFF).to_bytes(4, "little")
    target.write_memory(slot, displaced + back)  # push {r4, lr}: the same anywhere
    target.write_memory(address, branch)
    target.code_sync.synchronize([(slot, slot + 8), (address, address + 4)])
    with count_executions(target, [slot]) as counts:
        assert target.run(refuse).reason is StopReason.EXIT
    assert counts[slot] == 1
    assert b"U-Boot 2023.01" in output.split(b"=> version")[1]


@pytest.mark.slow
def test_slot_that_the_mmu_does_not_let_run_is_a_fault() -> None:
    target, _ = boot(b" \nversion\n")
    address = resolve("do_version", SymbolTable.from_image(uboot.load()).rebased(uboot.RELOCATION))[0].address
    assert target.run(refuse, until=address).reason is StopReason.ADDRESS
    slot = target.executable_memory.allocate(4096, 0x48000000, 0x49000000)
    registers = target.read_registers()
    registers.pc = slot
    target.write_registers(registers)
    message = "prefetch abort: the MMU does not let this address be executed"
    assert target.run(refuse) == Stop(StopReason.FAULT, slot, address=slot, access="fetch", message=message)


def test_slots_for_code_in_flash_are_within_its_reach() -> None:
    target, _ = boot(b"")
    assert 0x01000000 <= target.executable_memory.allocate(4096, 0, 32 << 20) < 0x02000000


def test_uart_gives_its_input_once_and_says_when_there_is_none() -> None:
    uart = Pl011(lambda _: None)
    assert uart.read(0x18, 4) == 0x90
    uart.input.extend(b"ab")
    assert uart.read(0x18, 4) == 0x80
    assert [uart.read(0, 4) for _ in range(3)] == [ord("a"), ord("b"), 0]
    assert uart.read(0x18, 4) == 0x90


def test_uart_prints_bytes_and_keeps_its_other_registers() -> None:
    output = bytearray()
    uart = Pl011(output.extend)
    uart.write(0, 4, 0x141)
    uart.write(0x24, 4, 13)
    assert output == b"A"
    assert uart.read(0x24, 4) == 13
    assert [uart.read(0xFE0 + 4 * n, 4) for n in range(8)] == [0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1]


def test_firmware_answers_psci_calls() -> None:
    call = virt(lambda _: None).firmware_call
    assert call is not None
    registers = Registers([0x84000000] + [0] * 15, 0x13)
    assert call(registers) is None
    assert registers.r0 == 0x10000
    registers = Registers([0x84000003] + [0] * 15, 0x13)
    assert call(registers) is None
    assert registers.r0 == 0xFFFFFFFF
    registers = Registers([0x84000009] + [0] * 14 + [0x1234], 0x13)
    assert call(registers) == Stop(StopReason.EXIT, 0x1234, exit_code=0)
