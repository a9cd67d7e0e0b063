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
from collections.abc import Callable, Sequence
from typing import Any

from armprobe.errors import MissingDependency, TargetFault, UsageError
from armprobe.targets.base import CPSR_T, NO_TASKS, TRAP, Region, Registers, Stop, StopReason, TrapHandler
from armprobe.targets.emulated_memory import EmulatedMemory
from armprobe.targets.instructionclock import NO_CLOCK, InstructionClock, can_count
from armprobe.targets.interrupt import stop_on_interrupt
from armprobe.targets.machine import PAGE, Machine, Program, cpu_named, page_ranges
from armprobe.targets.registerfile import RegisterFile
from armprobe.targets.semihosting import SVC_A32, SVC_T32, Exit, Semihosting

#: UDF #0x5be0, for processors without BKPT, which came with architecture 5 (A8.8.247)
UNDEFINED_TRAP = 0xE7F5BEF0
STACK_SIZE = HEAP_SIZE = 1 << 20
#: where `until` stands when there is none: no 32-bit PC equals it
_NEVER = 1 << 40
_SVC, _PREFETCH_ABORT, _DATA_ABORT, _BKPT, _SMC = 2, 3, 4, 7, 13  # exception numbers of UC_HOOK_INTR
_YIELD, _WFE, _WFI = 0x0320F001, 0x0320F002, 0x0320F003  # without the condition
_ACCESS = {19: "read", 20: "write", 21: "fetch", 22: "write", 23: "read", 24: "fetch"}  # UC_MEM_*_UNMAPPED, _PROT


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
        self._binding = binding
        self._error_type: type[Exception] = unicorn.UcError
        self._memory = EmulatedMemory(self._uc, error=unicorn.UcError, on_failure=self._fail)
        self._on_trap: TrapHandler | None = None
        self._ended: Stop | None = None
        self._raised: BaseException | None = None
        self._stopping = self._limited = False
        self._counting = False
        self._access: tuple[str, int] | None = None
        # Unicorn's wrapper around a Python hook costs a microsecond a call: the one that is hot goes without.
        self._interrupt_hook = binding.HOOK_INTR_CFUNC(self._on_interrupt)
        binding.uclib.uc_hook_add(
            self._uc._uch, ctypes.byref(binding.uc_hook_h()), constants.UC_HOOK_INTR,
            ctypes.cast(self._interrupt_hook, ctypes.c_void_p), None, 1, 0,
        )  # fmt: skip
        self._uc.hook_add(constants.UC_HOOK_MEM_INVALID, self._on_invalid_access)

    @classmethod
    def from_image(
        cls,
        image: Program,
        *,
        cpu: str | None = None,
        machine: Machine | None = None,
        output: Callable[[bytes], object] = lambda _: None,
        arguments: Sequence[str] = (),
        slots: Sequence[Region] = (),
    ) -> UnicornTarget:
        """Load `image` and make it ready to run from its entry.

        With a machine, memory and devices are the machine's, and the processor is as after reset. Without one, memory
        is what the image occupies, in whole pages, a heap right after it and a stack; sp is set and VFP enabled.
        Semihosting calls are served: `output` gets what the program prints, `arguments` are what it was started with.
        What is executed in `slots`, memory that the program leaves to probes, does not count for the clock.

        Raises UsageError when the image does not fit the machine, MissingDependency without Unicorn.
        """
        semihosting = Semihosting(output, command_line=" ".join(arguments))
        target = cls(cpu=cpu or (machine.cpu if machine else "cortex-a15"), semihosting=semihosting)
        target._memory.give(slots)
        if machine is None:
            for start, end in page_ranges(
                (segment.address, segment.address + segment.size) for segment in image.segments
            ):
                target._memory.map(Region(start, end, name="image"))
            semihosting.heap = target._add_heap_and_stack(image)
        else:
            target._firmware_call = machine.firmware_call
            for region in machine.memory:
                target._memory.map(region)
            for mapping in machine.devices:
                target._memory.map_device(mapping)
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
        return TRAP if self.architecture >= 5 else UNDEFINED_TRAP

    @property
    def no_memory(self) -> str:
        return ""

    @property
    def vectors(self) -> Sequence[int]:
        return ()

    @property
    def own_faults(self) -> None:
        return None

    @property
    def shared_memory(self) -> None:
        return None

    @property
    def mailbox(self) -> None:
        return None

    @property
    def no_mailbox(self) -> str:
        return ""

    @property
    def concurrent(self) -> bool:
        return False

    @property
    def regions(self) -> Sequence[Region]:
        return self._memory.regions

    def read_memory(self, address: int, size: int) -> bytes:
        return self._memory.read(address, size)

    def write_memory(self, address: int, data: bytes) -> None:
        self._memory.write(address, data)

    def read_registers(self) -> Registers:
        return self._file.read()

    def write_registers(self, registers: Registers) -> None:
        self._file.write(registers)

    def run(self, on_trap: TrapHandler, *, until: int | None = None, limit: int | None = None) -> Stop:
        """Run until the program ends, `until` is about to be executed, `limit` instructions ran, or `stop` is called.

        `until` that is the present pc ends the run at once. WFI ends it with EXIT, since nothing would ever wake the
        processor; a further run goes on behind it. With a limit the emulator is five times slower, and WFE and YIELD
        end the run early, with LIMIT, as Unicorn loses count there.

        A trap handler may run the target from other registers, as for a call, within a run that has no limit.
        """
        if limit is not None and limit < 1:
            raise UsageError(f"limit is a number of instructions, 1 or more, not {limit}")
        if self._on_trap is not None and (limit or self._limited):
            raise UsageError("a handler can't run the target within a run that has a limit: Unicorn would lose count")
        outer = self._on_trap, self._limited
        self._on_trap, self._limited = on_trap, limit is not None
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
            self._on_trap, self._limited = outer
            self._ended = self._raised = None
        return Stop(StopReason.INTERRUPT, self._file.entry & ~1)

    def stop(self) -> None:
        self._stopping = True
        if self._memory.clock is not None:
            self._memory.clock.stop(True)
        else:
            self._uc.emu_stop()

    @property
    def code_sync(self) -> EmulatedMemory:
        return self._memory

    @property
    def executable_memory(self) -> EmulatedMemory:
        return self._memory

    @property
    def threads(self) -> None:
        return None

    @property
    def watchpoints(self) -> None:
        return None

    @property
    def breakpoints(self) -> None:
        return None

    @property
    def translation(self) -> None:
        return None

    @property
    def bulk(self) -> None:
        return None

    @property
    def clock(self) -> InstructionClock | None:
        """It starts when it is asked for; from then on blocks of code cost some nanoseconds more."""
        if self._memory.clock is None and can_count():
            self._memory.start_clock(self._binding, at_site=self._on_trap is not None)
        return self._memory.clock

    @property
    def no_clock(self) -> str:
        return "" if can_count() else NO_CLOCK

    @property
    def processors(self) -> None:
        return None

    @property
    def task(self) -> None:
        return None

    @property
    def no_task(self) -> str:
        return NO_TASKS

    @property
    def journal(self) -> None:
        """The emulator ends with this process."""
        return None

    # Beyond the protocol

    @property
    def engine(self) -> Any:
        """Unicorn's own object (`unicorn.Uc`), for what has no place in a Target."""
        return self._uc

    def _add_heap_and_stack(self, image: Program) -> tuple[int, int, int, int]:
        """Map both; return the heap's start and end, the stack's upper and lower end."""
        heap = (max((segment.address + segment.size for segment in image.segments), default=0) + 7) & ~7
        # The faulting page between them keeps either from running into the other unseen.
        start = self._memory.find_gap(HEAP_SIZE + PAGE + STACK_SIZE, low=heap)
        if start - heap >= PAGE:
            heap = start
        middle, top = start + HEAP_SIZE, start + HEAP_SIZE + PAGE + STACK_SIZE
        self._memory.map(Region(start, middle, name="heap"))
        self._memory.map(Region(middle + PAGE, top, name="stack"))
        return heap, middle, top, middle + PAGE

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
        if limit and not self._counting:
            self._uc.ctl_flush_tb()  # what was translated for a run without a limit does not count
        self._counting = bool(limit)
        self._access = None
        failure: Exception | None = None
        if self._memory.clock is not None:
            self._memory.clock.stop(self._stopping)
        try:
            self._uc.emu_start(entry, until, 0, limit)
        except self._error_type as error:
            failure = error
        self._file.forget()
        if self._memory.clock is not None:
            self._memory.clock.settle(self._file.entry & ~1)
        if self._raised is not None:
            raise self._raised
        if self._ended is not None:
            return self._ended
        pc = self._file.entry & ~1
        if failure is not None:
            return self._judge(failure, entry, limit)
        if self._stopping:
            return None
        if pc == until:
            return Stop(StopReason.ADDRESS, pc)
        if self._hint_before(pc) == _WFI:
            return Stop(StopReason.EXIT, pc, message="waits for an interrupt (WFI), and the emulator has none")
        return Stop(StopReason.LIMIT, pc) if limit else None

    def _trapped(self, pc: int) -> bool:
        return self.read_memory(pc, 4) == UNDEFINED_TRAP.to_bytes(4, "little")

    def _take_trap(self, pc: int) -> Stop | None:
        """Unicorn ends a run at an undefined instruction: a limit counts from there again."""
        assert self._on_trap is not None
        if not self._on_trap(pc):
            return Stop(StopReason.TRAP, pc)
        if self._memory.clock is not None:
            self._memory.clock.executed()
        return None

    def _judge(self, failure: Exception, entry: int, limit: int) -> Stop | None:
        pc, message = self._file.entry & ~1, str(failure)
        if self._access is not None:
            access, address = self._access
            return Stop(StopReason.FAULT, pc, address=address, access=access, message=message)
        if self.trap == UNDEFINED_TRAP and self._trapped(pc):
            return self._take_trap(pc)
        # Behind WFE and YIELD Unicorn says that the instruction is undefined. If it really is, it will say so again
        # when it starts there.
        if pc != entry & ~1 and self._hint_before(pc) in (_WFE, _YIELD):
            return Stop(StopReason.LIMIT, pc, message="ended early: WFE and YIELD lose count") if limit else None
        return Stop(StopReason.FAULT, pc, address=pc, access="undefined", message=message)

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
                elif self._memory.clock is not None:
                    self._memory.clock.executed()
            elif number == _SVC:
                self._on_svc(pc)
            elif number == _SMC and self._firmware_call is not None:
                registers = self._file.read()
                ended = self._firmware_call(registers)
                self._file.write(registers)
                if ended is not None:
                    self._end(ended)
            elif number == _SMC:
                self._refuse(pc - 4, "SMC")
            elif number == _PREFETCH_ABORT:
                message = "prefetch abort: the MMU does not let this address be executed"
                self._end(Stop(StopReason.FAULT, pc, address=pc, access="fetch", message=message))
            elif number == _DATA_ABORT:
                message = "data abort: alignment, or the MMU does not let this address be accessed"
                self._end(Stop(StopReason.FAULT, pc, access="read", message=message))
            else:
                self._refuse(pc, f"exception {number}")
        except BaseException as error:  # noqa: BLE001 - must not get lost in C code
            self._fail(error)
        finally:
            self._file.forget()

    def _on_svc(self, pc: int) -> None:
        registers = self._file.read()
        size, call = (2, SVC_T32) if registers.cpsr & CPSR_T else (4, SVC_A32)
        number = int.from_bytes(self.read_memory(pc - size, size), "little") & (0xFF if size == 2 else 0xFFFFFF)
        if number != call or self._semihosting is None:
            self._refuse(pc - size, f"SVC {number:#x}")
            return
        try:
            result = self._semihosting.call(self, registers.r0, registers.r1)
        except TargetFault as fault:
            message = f"semihosting call {registers.r0:#x}: {fault}"
            registers.pc = pc - size
            self._file.write(registers)
            self._end(Stop(StopReason.FAULT, pc - size, address=fault.address, access="read", message=message))
            return
        if isinstance(result, Exit):
            self._end(Stop(StopReason.EXIT, pc, exit_code=result.code))
        else:
            registers.r0 = result
            self._file.write(registers)

    def _refuse(self, address: int, what: str) -> None:
        """End the run at an instruction that asks for somebody who is not there."""
        registers = self._file.read()
        registers.pc = address
        self._file.write(registers)
        message = f"{what}: nobody here serves it"
        self._end(Stop(StopReason.FAULT, address, address=address, access="undefined", message=message))

    def _fail(self, error: BaseException) -> None:
        """End the run; it raises `error`."""
        self._raised = self._raised or error
        self._uc.emu_stop()

    def _end(self, stop: Stop) -> None:
        self._ended = stop
        self._uc.emu_stop()

    def _on_invalid_access(self, _uc: object, kind: int, address: int, _size: int, _value: int, _data: object) -> bool:
        self._access = (_ACCESS[kind], address)
        return False


def _import_unicorn() -> Any:
    try:
        return importlib.import_module("unicorn")
    except ImportError as error:
        raise MissingDependency(
            f"the embedded emulator needs Unicorn, which cannot be imported: {error}",
            hint="pip install 'armprobe[emulate]'",
        ) from error
