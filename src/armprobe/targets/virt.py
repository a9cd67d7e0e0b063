"""The machine `virt`: as much of QEMU's Arm board of that name as firmware needs to boot to its console.

Flash at 0, a PL011 at 0x09000000, RAM at 0x40000000 with the device tree at its start. What the device tree does not
name is not there; the window of the PCI configuration space reads as zero.

Slots for probes need addresses that nothing uses, within reach of the code. For code in flash they are behind the first
flash, which is smaller than QEMU's. For code at the top of RAM they are in a hole 24 MiB below: the device tree counts
it as RAM, so that firmware makes it executable when it turns the MMU on, and reserves it. U-Boot's stack is above it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from armprobe.targets.base import Region, Registers, Stop, StopReason
from armprobe.targets.devicetree import flatten
from armprobe.targets.machine import Machine, Mapping

FLASH, FLASH_SIZE = 0x00000000, 0x01000000
SETTINGS_FLASH, SETTINGS_FLASH_SIZE = 0x04000000, 0x04000000
UART, PCI = 0x09000000, 0x10000000
RAM, RAM_SIZE = 0x40000000, 0x08000000
SLOTS, SLOTS_SIZE = 0x46400000, 0x00400000
CLOCK_HERTZ = 24_000_000

# PL011 registers (DDI 0183)
_DATA, _FLAGS = 0x00, 0x18
_TRANSMIT_EMPTY, _RECEIVE_EMPTY = 0x80, 0x10
#: UARTPeriphID0 to 3 and UARTPCellID0 to 3, at 0xfe0
_IDENTITY = (0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1)

# PSCI functions (DEN 0022)
_PSCI_VERSION, _SYSTEM_OFF, _SYSTEM_RESET = 0x84000000, 0x84000008, 0x84000009
_PSCI_1_0, _NOT_SUPPORTED = 0x10000, 0xFFFFFFFF


@dataclass(slots=True)
class Pl011:
    """The serial port: what is written goes to `output` at once; `input` is what will be read."""

    output: Callable[[bytes], object]
    input: deque[int] = field(default_factory=deque)
    _registers: dict[int, int] = field(default_factory=dict)

    def read(self, offset: int, _size: int) -> int:
        if offset == _DATA:
            return self.input.popleft() if self.input else 0
        if offset == _FLAGS:
            return _TRANSMIT_EMPTY | (0 if self.input else _RECEIVE_EMPTY)
        if offset >= 0xFE0:
            return _IDENTITY[(offset - 0xFE0) // 4]
        return self._registers.get(offset, 0)

    def write(self, offset: int, _size: int, value: int) -> None:
        if offset == _DATA:
            self.output(bytes((value & 0xFF,)))
        else:
            self._registers[offset] = value


class _Nothing:
    """A window behind which there is nothing."""

    def read(self, _offset: int, _size: int) -> int:
        return 0

    def write(self, _offset: int, _size: int, _value: int) -> None:
        pass


def virt(output: Callable[[bytes], object], *, console_input: bytes = b"") -> Machine:
    """Make the machine; `output` gets what is printed on its serial port, `console_input` is typed there.

    Powering off, and resetting, end the run with exit code 0.
    """
    return Machine(
        name="virt",
        cpu="cortex-a15",
        memory=(
            Region(FLASH, FLASH + FLASH_SIZE, writable=False, name="flash"),
            Region(SETTINGS_FLASH, SETTINGS_FLASH + SETTINGS_FLASH_SIZE, writable=False, name="settings flash"),
            Region(RAM, SLOTS, name="ram"),
            Region(SLOTS + SLOTS_SIZE, RAM + RAM_SIZE, name="ram"),
        ),
        contents=((RAM, device_tree()),),
        devices=(
            Mapping(Region(UART, UART + 0x1000, executable=False, name="pl011"), Pl011(output, deque(console_input))),
            Mapping(Region(PCI, PCI + 0x1000000, writable=False, executable=False, name="pci"), _Nothing()),
        ),
        reset=FLASH,
        firmware_call=_psci,
    )


def _psci(registers: Registers) -> Stop | None:
    """Power State Coordination Interface, through SMC: the version, power off and reset."""
    if registers.r0 in (_SYSTEM_OFF, _SYSTEM_RESET):
        return Stop(StopReason.EXIT, registers.pc, exit_code=0)
    registers.r0 = _PSCI_1_0 if registers.r0 == _PSCI_VERSION else _NOT_SUPPORTED
    return None


def device_tree() -> bytes:
    """The flattened device tree of the machine."""
    gic, clock = 1, 2
    edge_low_all_cpus = 0xF08
    return flatten(
        {
            "#address-cells": 2,
            "#size-cells": 2,
            "compatible": "linux,dummy-virt",
            "model": "linux,dummy-virt",
            "interrupt-parent": gic,
            "chosen": {"stdout-path": f"/pl011@{UART:x}"},
            f"memory@{RAM:x}": {"device_type": "memory", "reg": (0, RAM, 0, RAM_SIZE)},
            "reserved-memory": {
                "#address-cells": 2,
                "#size-cells": 2,
                "ranges": None,
                f"slots@{SLOTS:x}": {"reg": (0, SLOTS, 0, SLOTS_SIZE)},
            },
            "cpus": {
                "#address-cells": 1,
                "#size-cells": 0,
                "cpu@0": {"device_type": "cpu", "compatible": "arm,cortex-a15", "reg": 0},
            },
            "psci": {"compatible": ("arm,psci-1.0", "arm,psci-0.2"), "method": "smc"},
            "timer": {
                "compatible": "arm,armv7-timer",
                "interrupts": tuple(cell for number in (13, 14, 11, 10) for cell in (1, number, edge_low_all_cpus)),
                "always-on": None,
            },
            "intc@8000000": {
                "compatible": "arm,cortex-a15-gic",
                "reg": (0, 0x8000000, 0, 0x10000, 0, 0x8010000, 0, 0x10000),
                "interrupt-controller": None,
                "#interrupt-cells": 3,
                "phandle": gic,
            },
            "apb-pclk": {
                "compatible": "fixed-clock",
                "#clock-cells": 0,
                "clock-frequency": CLOCK_HERTZ,
                "clock-output-names": "clk24mhz",
                "phandle": clock,
            },
            f"pl011@{UART:x}": {
                "compatible": ("arm,pl011", "arm,primecell"),
                "reg": (0, UART, 0, 0x1000),
                "interrupts": (0, 1, 4),
                "clocks": (clock, clock),
                "clock-names": ("uartclk", "apb_pclk"),
            },
        },
        size=0x10000,
    )
