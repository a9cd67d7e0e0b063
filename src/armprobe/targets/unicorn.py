"""The embedded emulator: a Target on Unicorn.

What to know of Unicorn (2.1.4):

- Code that was translated once goes on running in its old form after `write_memory`, until `code_sync` was told.
- Exceptions are never delivered to the program's own vector table. BKPT stops at `on_trap`, SVC is semihosting, SMC is
  the machine's firmware; every other exception ends the run as a fault. There are no interrupts, so WFI, WFE and YIELD
  do not wait.
- `read_memory` and `write_memory` take physical addresses: a program that turns the MMU on is seen right only where it
  maps memory at its physical address.
"""

from __future__ import annotations

import ctypes
import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from armprobe.errors import MissingDependency, TargetFault, UsageError
from armprobe.targets.base import CPSR_T, Region, Registers, Stop, StopReason, TrapHandler
from armprobe.targets.interrupt import stop_on_interrupt
from armprobe.targets.machine import PAGE, Machine, Mapping, Program, cpu_named, find_gap
from armprobe.targets.registerfile import RegisterFile
from armprobe.targets.semihosting import SVC_A32, SVC_T32, Exit, Semihosting

#: BKPT #0x5be0: an immediate no compiler or library uses (DDI 0406C A8.8.24)
TRAP = 0xE125BE70
STACK_SIZE = HEAP_SIZE = 1 << 20
#: where `until` stands when there is none: no 32-bit PC equals it
_NEVER = 1 << 40
_SVC, _BKPT, _SMC = 2, 7, 13  # exception numbers of UC_HOOK_INTR
_YIELD, _WFE, _WFI = 0x0320F001, 0x0320F002, 0x0320F003  # without the condition
_ACCESS = {16: "read", 17: "write", 18: "fetch", 19: "read", 20: "write", 21: "fetch"}


class UnicornTarget:
    """One emulated processor and its memory: a `Target`, with code_sync and executable_memory. See `from_image`."""

    def __init__(self, *, cpu: str = "cortex-a15", semihosting: Semihosting | None = None) -> None:
        """Make a processor after reset, without memory."""
        unicorn = _import_unicorn()
        constants, arm, binding = unicorn.unicorn_const, unicorn.arm_const, unicorn.unicorn_py3.unicorn
        self._cpu = cpu_named(cpu)
        self._semihosting = semihosting
        self._firmware_call: Callable[[Registers], Stop | None] | None = None
        self._uc = unicorn.Uc(constants.UC_ARCH_ARM, constants.UC_MODE_ARM)
        self._uc.ctl_set_cpu_model(getattr(arm, f"UC_CPU_ARM_{self._cpu.unicorn}"))
        self._file = RegisterFile(self._uc._uch, binding=binding, constants=arm)
        self._error_type: type[Exception] = unicorn.UcError
        self._regions: list[Region] = []
        self._devices: list[Region] = []
        self._on_trap: TrapHandler | None = None
        self._ended: Stop | None = None
        self._raised: BaseException | None = None
        self._stopping = False
        self._access: tuple[str, int] | None = None
        self._undefined = False
        # Unicorn's wrapper around a Python hook costs a microsecond a call: the one that is hot goes without.
        self._interrupt_hook = binding.HOOK_INTR_CFUNC(self._on_interrupt)
        binding.uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(binding.uc_hook_h()), constants.UC_HOOK_INTR,
            ctypes.cast(self._interrupt_hook, ctypes.c_void_p), None, 1, 0,
        )  # fmt: skip
        self._uc.hook_add(constants.UC_HOOK_MEM_INVALID, self._on_invalid_access)
        self._uc.hook_add(constants.UC_HOOK_INSN_INVALID, self._on_invalid_instruction)

    @classmethod
    def from_image(
        cls,
        image: Program,
        *,
        cpu: str | None = None,
        machine: Machine | None = None,
        output: Callable[[bytes], object] = lambda _: None,
        arguments: Sequence[str] = (),
    ) -> UnicornTarget:
        """Load `image` and make it ready to run from its entry.

        With a machine, memory and devices are the machine's, and the processor is as after reset. Without one, memory
        is what the image occupies, in whole pages, a heap right after it and a stack; sp is set and VFP enabled.
        Semihosting calls are served: `output` gets what the program prints, `arguments` are what it was started with.

        Raises UsageError when the image does not fit the machine, MissingDependency without Unicorn.
        """
        semihosting = Semihosting(output, command_line=" ".join(arguments))
        target = cls(cpu=cpu or (machine.cpu if machine else "cortex-a15"), semihosting=semihosting)
        if machine is None:
            for start, end in _pages((segment.address, segment.address + segment.size) for segment in image.segments):
                target.map_memory(Region(start, end, name="image"))
            semihosting.heap = target._add_heap_and_stack(image)
        else:
            target._firmware_call = machine.firmware_call
            for region in machine.memory:
                target.map_memory(region)
            for mapping in machine.devices:
                target._map_device(mapping)
            for address, data in machine.contents:
                target.write_memory(address, data)
        for segment in image.segments:
            try:
                target.write_memory(segment.address, segment.data)
            except TargetFault:
                assert machine is not None
                memory = ", ".join(f"{r.name} 0x{r.start:08x}..0x{r.end:08x}" for r in machine.memory)
                raise UsageError(
                    f"the image has {len(segment.data)} bytes for 0x{segment.address:08x}, "
                    f"where machine {machine.name!r} has no memory; it has {memory}",
                ) from None
        registers = target.read_registers()
        entry = image.entry if machine is None else machine.reset
        registers.pc = entry & ~1
        if entry & 1:
            registers.cpsr |= CPSR_T
        if machine is None:
            registers.sp = semihosting.heap[2]
            target._enable_vfp()
        target.write_registers(registers)
        return target

    # The Target protocol

    @property
    def name(self) -> str:
        return f"Unicorn ({self._cpu.name})"

    @property
    def architecture(self) -> int:
        return self._cpu.architecture

    @property
    def trap(self) -> int:
        return TRAP

    @property
    def concurrent(self) -> bool:
        return False

    @property
    def regions(self) -> Sequence[Region]:
        return tuple(sorted(self._regions, key=lambda region: region.start))

    def read_memory(self, address: int, size: int) -> bytes:
        if not self._device_at(address, size):
            try:
                return bytes(self._uc.mem_read(address, size))
            except self._error_type:
                pass
        raise self._memory_fault("read", address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        if not self._device_at(address, len(data)):
            try:
                self._uc.mem_write(address, bytes(data))
            except self._error_type:
                pass
            else:
                return
        raise self._memory_fault("write", address, len(data))

    def read_registers(self) -> Registers:
        return self._file.read()

    def write_registers(self, registers: Registers) -> None:
        self._file.write(registers)

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        """Run until the program ends, `until` is about to be executed, `limit` instructions ran, or `stop` is called.

        `until` that is the present pc ends the run at once. WFI ends it with EXIT, since nothing would ever wake the
        processor; a further run goes on behind it. With a limit the emulator is five times slower, and WFE and YIELD
        end the run early, with LIMIT, as Unicorn loses count there.
        """
        if limit is not None and limit < 1:
            raise UsageError(f"limit is a number of instructions, 1 or more, not {limit}")
        if self._on_trap is not None:
            raise UsageError("the target is running: a trap handler may change registers and memory, but not call run")
        self._on_trap = on_trap
        self._stopping = False
        self._ended = self._raised = None
        try:
            with stop_on_interrupt(self.stop):
                while not self._stopping:
                    stop = self._run_once(_NEVER if until is None else until, limit or 0)
                    if stop is not None:
                        return stop
        except KeyboardInterrupt:
            pass
        finally:
            self._on_trap = None
        return Stop(StopReason.INTERRUPT, self._file.entry & ~1)

    def stop(self) -> None:
        self._stopping = True
        self._uc.emu_stop()

    @property
    def code_sync(self) -> UnicornTarget:
        return self

    def synchronize(self, ranges: Sequence[tuple[int, int]]) -> None:
        for start, end in ranges:
            self._uc.ctl_remove_cache(start, end)

    @property
    def executable_memory(self) -> UnicornTarget:
        return self

    def allocate(self, size: int, low: int, high: int) -> int:
        if size <= 0 or size % PAGE:
            raise UsageError(f"memory for slots comes in multiples of {PAGE} bytes, not {size}")
        address = find_gap([*self._regions, *self._devices], size, low=low, high=high)
        self.map_memory(Region(address, address + size, name="slots"))
        return address

    def free(self, address: int, size: int) -> None:
        region = Region(address, address + size, name="slots")
        if region not in self._regions:
            raise UsageError(f"0x{address:08x}, {size} bytes, is no allocation")
        self._uc.ctl_remove_cache(address, address + size)
        self._uc.mem_unmap(address, size)
        self._regions.remove(region)

    @property
    def threads(self) -> None:
        return None

    @property
    def clock(self) -> None:
        return None

    # Memory

    def map_memory(self, region: Region) -> None:
        """Add zeroed memory. Raises UsageError unless it is whole pages where nothing is yet."""
        if region.start % PAGE or region.end % PAGE or not 0 <= region.start < region.end <= 1 << 32:
            raise UsageError(f"memory comes in pages of {PAGE} bytes: 0x{region.start:08x}..0x{region.end:08x} is none")
        for other in (*self._regions, *self._devices):
            if region.start < other.end and other.start < region.end:
                raise UsageError(
                    f"0x{region.start:08x}..0x{region.end:08x} overlaps {other.name or 'memory'} "
                    f"at 0x{other.start:08x}..0x{other.end:08x}"
                )
        permissions = region.readable | region.writable << 1 | region.executable << 2
        self._uc.mem_map(region.start, region.end - region.start, permissions)
        self._regions.append(region)

    def _map_device(self, mapping: Mapping) -> None:
        region, device = mapping.region, mapping.device
        self._uc.mmio_map(
            region.start, region.end - region.start,
            lambda _uc, offset, size, _: device.read(offset, size), None,
            lambda _uc, offset, size, value, _: device.write(offset, size, value), None,
        )  # fmt: skip
        self._devices.append(region)

    def _add_heap_and_stack(self, image: Program) -> tuple[int, int, int, int]:
        """Map both; return the heap's start and end, the stack's upper and lower end."""
        heap = (max((segment.address + segment.size for segment in image.segments), default=0) + 7) & ~7
        # The faulting page between them keeps either from running into the other unseen.
        start = find_gap(self._regions, HEAP_SIZE + PAGE + STACK_SIZE, low=heap)
        if start - heap >= PAGE:
            heap = start
        middle, top = start + HEAP_SIZE, start + HEAP_SIZE + PAGE + STACK_SIZE
        self.map_memory(Region(start, middle, name="heap"))
        self.map_memory(Region(middle + PAGE, top, name="stack"))
        return heap, middle, top, middle + PAGE

    def _device_at(self, address: int, size: int) -> Region | None:
        for region in self._devices:
            if address < region.end and region.start < address + size:
                return region
        return None

    def _memory_fault(self, access: str, address: int, size: int) -> TargetFault:
        device = self._device_at(address, size)
        why = f"that is a device, {device.name}" if device else "not all of it is mapped"
        return TargetFault(f"cannot {access} {size} bytes at 0x{address:08x}: {why}", address=address, size=size)

    def _enable_vfp(self) -> None:
        if self._cpu.vfp:
            arm = _import_unicorn().arm_const
            # CPACR: full access to cp10 and cp11 (DDI 0406C B4.1.40); FPEXC.EN (B4.1.57)
            self._uc.reg_write(arm.UC_ARM_REG_C1_C0_2, self._uc.reg_read(arm.UC_ARM_REG_C1_C0_2) | 0xF << 20)
            self._uc.reg_write(arm.UC_ARM_REG_FPEXC, 1 << 30)

    # Running

    def _run_once(self, until: int, limit: int) -> Stop | None:
        """Run to the next thing that ends a run; None for what only Unicorn thinks to be one."""
        entry = self._file.entry
        if entry & ~1 == until:
            return Stop(StopReason.ADDRESS, until)
        self._access, self._undefined = None, False
        failure: Exception | None = None
        try:
            self._uc.emu_start(entry, until, 0, limit)
        except self._error_type as error:
            failure = error
        self._file.forget()
        if self._raised is not None:
            raise self._raised
        if self._ended is not None:
            return self._ended
        pc = self._file.entry & ~1
        if failure is not None:
            return self._judge(failure, pc, limit)
        if self._stopping:
            return None
        if pc == until:
            return Stop(StopReason.ADDRESS, pc)
        if self._hint_before(pc) == _WFI:
            return Stop(StopReason.EXIT, pc, message="waits for an interrupt (WFI), and the emulator has none")
        return Stop(StopReason.LIMIT, pc) if limit else None

    def _judge(self, failure: Exception, pc: int, limit: int) -> Stop | None:
        if self._access is not None:
            access, address = self._access
            return Stop(StopReason.FAULT, pc, address=address, access=access, message=str(failure))
        # WFE and YIELD look like an undefined instruction, but the hook for those was not called.
        if not self._undefined and self._hint_before(pc) in (_WFE, _YIELD):
            return Stop(StopReason.LIMIT, pc, message="ended early: count is lost at WFE and YIELD") if limit else None
        return Stop(StopReason.FAULT, pc, address=pc, access="undefined", message=str(failure))

    def _hint_before(self, pc: int) -> int:
        """The A32 hint that stands before `pc`, T32 ones translated; 0 when it is no hint."""
        try:
            if self._file.entry & 1:
                half = int.from_bytes(self.read_memory(pc - 2, 2), "little")
                return 0x0320F000 | half >> 4 & 15 if half & 0xFF0F == 0xBF00 else 0
            return int.from_bytes(self.read_memory(pc - 4, 4), "little") & 0x0FFFFFFF
        except TargetFault:
            return 0

    def _on_interrupt(self, _engine: object, number: int, _data: object) -> None:
        try:
            pc = self._file.load()
            if number == _BKPT:
                assert self._on_trap is not None
                if not self._on_trap(pc):
                    self._end(Stop(StopReason.TRAP, pc))
            elif number == _SVC:
                self._on_svc(pc)
            else:
                self._on_other(number, pc)
        except BaseException as error:  # noqa: BLE001 - must not get lost in C code; run() raises it again
            self._raised = error
            self._uc.emu_stop()
        finally:
            self._file.forget()

    def _end(self, stop: Stop) -> None:
        self._ended = stop
        self._uc.emu_stop()

    def _on_svc(self, pc: int) -> None:
        registers = self._file.read()
        thumb = bool(registers.cpsr & CPSR_T)
        address = pc - 2 if thumb else pc - 4
        number = int.from_bytes(self.read_memory(address, 2 if thumb else 4), "little") & (0xFF if thumb else 0xFFFFFF)
        if self._semihosting is None or number != (SVC_T32 if thumb else SVC_A32):
            message = f"SVC 0x{number:x} is no semihosting call, and the emulator has no operating system"
            registers.pc = address
            self._file.write(registers)
            self._end(Stop(StopReason.FAULT, address, address=address, access="undefined", message=message))
            return
        try:
            result = self._semihosting.call(self, registers.r0, registers.r1)
        except TargetFault as fault:
            message = f"semihosting call 0x{registers.r0:x}: {fault}"
            registers.pc = address
            self._file.write(registers)
            self._end(Stop(StopReason.FAULT, address, address=fault.address, access="read", message=message))
            return
        if isinstance(result, Exit):
            self._end(Stop(StopReason.EXIT, pc, exit_code=result.code))
        else:
            registers.r0 = result
            self._file.write(registers)

    def _on_other(self, number: int, pc: int) -> None:
        registers = self._file.read()
        if number == _SMC and self._firmware_call is not None:
            ended = self._firmware_call(registers)
            self._file.write(registers)
            if ended is not None:
                self._end(ended)
            return
        name = "SMC" if number == _SMC else f"exception {number}"
        self._end(Stop(StopReason.FAULT, pc, address=pc, access="undefined", message=f"{name}: nothing here serves it"))

    def _on_invalid_access(self, _uc: object, kind: int, address: int, _size: int, _value: int, _data: object) -> bool:
        self._access = (_ACCESS[kind], address)
        return False

    def _on_invalid_instruction(self, _uc: object, _data: object) -> bool:
        self._undefined = True
        return False


@contextmanager
def count_executions(target: UnicornTarget, addresses: Iterable[int]) -> Iterator[Counter[int]]:
    """Let the emulator itself count how often the instructions at `addresses` are executed within the block.

    An instruction whose condition is false counts as well. Slow, and independent of everything armprobe does.
    """
    counts: Counter[int] = Counter(dict.fromkeys(addresses, 0))
    uc = target._uc

    def on_code(_uc: object, address: int, _size: int, _data: object) -> None:
        if address in counts:
            counts[address] += 1

    ranges = _pages(((address, address + 4) for address in counts), unit=4)
    hooks = [uc.hook_add(_import_unicorn().UC_HOOK_CODE, on_code, begin=start, end=end - 1) for start, end in ranges]
    # A hook is compiled into the code, and what was compiled before knows nothing of it.
    target.synchronize(ranges)
    try:
        yield counts
    finally:
        for hook in hooks:
            uc.hook_del(hook)
        target.synchronize(ranges)


def _pages(ranges: Iterable[tuple[int, int]], *, unit: int = PAGE) -> list[tuple[int, int]]:
    """The same ranges, rounded to multiples of `unit`, sorted, with those that touch joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((start & -unit, (end + unit - 1) & -unit) for start, end in ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif start < end:
            joined.append((start, end))
    return joined


def _import_unicorn() -> Any:
    try:
        return importlib.import_module("unicorn")
    except ImportError as error:
        raise MissingDependency(
            f"the embedded emulator needs Unicorn, which cannot be imported: {error}",
            hint="pip install 'armprobe[emulate]'",
        ) from error
