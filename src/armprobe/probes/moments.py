"""When and where a hit happens: what target code stores of it in every record, and what the host finds out."""

from __future__ import annotations

from collections.abc import Iterable

from armprobe.errors import InternalError, Refused, TargetError
from armprobe.events.record import COMM_TYPE, NAMED_TYPES, TYPES, Field, FieldType
from armprobe.events.source import AtEntry, KnownText, Read, Source, Text
from armprobe.isa.reading import (
    Constant,
    CoreRegister,
    Load,
    Masked,
    Reading,
    Routine,
    Sum,
    SystemRegister,
    WideRegister,
)
from armprobe.patching.execute import execute
from armprobe.patching.plan import Write, plan_patch
from armprobe.patching.slots import Slot, SlotAllocator
from armprobe.probes.hit_fields import HitFields
from armprobe.targets.base import CPSR_MODE, MODE_USER, Target
from armprobe.targets.capabilities import Clock, Task
from armprobe.targets.stepping import MASKED

_ONE_PROCESSOR = Read(Constant(0))
_WORD = 0xFFFFFFFF


class Moments:
    """The time, the processor and the task of the hits on one target.

    `timestamps`: whether records have the time, where there is a clock; it costs some instructions a record.
    """

    def __init__(self, target: Target, slots: SlotAllocator) -> None:
        self._target = target
        self._slots = slots
        self.timestamps = True
        self._code: dict[Reading, Slot] = {}

    @property
    def clock(self) -> Clock | None:
        return self._target.clock

    def common(self, *, at_return: bool) -> tuple[tuple[str, Source, FieldType], ...]:
        """The fields that all records have, for `make_layout`."""
        fields: list[tuple[str, Source, FieldType]] = []
        if self.timestamps and self.clock is not None:
            fields.append(("time", self.time_source(at_return=at_return), NAMED_TYPES["u64"]))
        if self._target.processors is not None:
            fields.append(("cpu", self.cpu_source, TYPES["u32"]))
        task = self._target.task
        if task is not None:
            comm = Text(task.comm) if isinstance(task.comm, str) else KnownText(task.comm, COMM_TYPE.size)
            fields += [("pid", Read(task.pid), TYPES["s32"]), ("comm", comm, COMM_TYPE)]
        return tuple(fields)

    def time_source(self, *, at_return: bool) -> Read:
        """How target code reads the time. Raises Refused where there is no clock."""
        clock = self.need_clock()
        return Read(clock.at_return if at_return else clock.at_site, clock.privileged)

    def routines(self) -> dict[str, int]:
        """The addresses of functions that reading the time calls, by name."""
        clock = self.clock
        readings = () if clock is None else (clock.at_site, clock.at_return)
        return {reading.name: reading.address for reading in readings if isinstance(reading, Routine)}

    @property
    def cpu_source(self) -> Read:
        """How target code reads the number of its processor."""
        processors = self._target.processors
        return _ONE_PROCESSOR if processors is None else Read(processors.number, processors.privileged)

    @property
    def fields(self) -> HitFields:
        """What definitions may ask of a hit."""
        return HitFields(self.cpu_source, self._target.task, self._target.no_task)

    def time(self, *, returned: bool) -> int:
        """The ticks of the clock where the target stopped: at a site, or when a call came back.

        Raises Refused where there is no clock, TargetError where it can't be asked.
        """
        clock = self.need_clock()
        now = clock.now(returned=returned)
        return self.value(self.time_source(at_return=returned)) if now is None else now

    def start(self) -> None:
        """Let the clock run, if there is one, before somebody asks for the time."""
        _ = self.clock

    @property
    def no_clock(self) -> str:
        """Why there is no clock; empty where there is one."""
        return self._target.no_clock

    def sources(self, names: Iterable[str], *, at_return: bool) -> tuple[tuple[str, Read, int], ...]:
        """How target code reads what a handler asks of the hit: its name (`tree.Moment`), the source, its bytes."""
        return tuple(
            (name, self.time_source(at_return=at_return), 8) if name == "time" else (name, self._word_source(name), 4)
            for name in sorted(names)
        )

    def _word_source(self, name: str) -> Read:
        if name == "cpu":
            return self.cpu_source
        found = getattr(self._need_task(), name)
        if found is None or isinstance(found, str):
            raise Refused(f"{self._target.name} does not know the {name} of a hit: {self._target.no_task}")
        return Read(found)

    def at_entry(self, names: Iterable[str]) -> tuple[tuple[str, AtEntry], ...]:
        """What of the entry target code keeps for the return: registers and `time`."""
        return tuple(
            (name, AtEntry(self.time_source(at_return=False) if name == "time" else name)) for name in sorted(names)
        )

    @property
    def lacking(self) -> dict[str, str]:
        """What the target does not know of a hit, and why: `time`, `pid`, `tgid`, `comm`."""
        target = self._target
        found = {"time": f"the target has no clock: {target.no_clock}"} if target.no_clock else {}
        if target.task is None:
            return found | dict.fromkeys(("pid", "tgid", "comm"), f"there are no tasks here: {target.no_task}")
        unknown = [name for name in ("tgid", "comm") if isinstance(getattr(target.task, name), str | None)]
        return found | {name: f"the {name} of a hit is not known here: {target.no_task}" for name in unknown}

    def task_number(self, name: str) -> int:
        """The `pid` or the `tgid` of the task that the target works for where it stopped. Raises Refused for none."""
        return self.value(self._word_source(name))

    def task_name(self) -> bytes:
        """The bytes of its name, with the zero. Raises Refused where no task is known."""
        return self.text(KnownText(self._word_source("comm").reading, COMM_TYPE.size))

    def _need_task(self) -> Task:
        if self._target.task is None:
            raise Refused(f"{self._target.name} has no task: {self._target.no_task}")
        return self._target.task

    def stored(self, field: Field) -> bytes:
        """The bytes that target code would store in a field that all records have."""
        if isinstance(field.source, KnownText):
            return self.text(field.source)
        assert isinstance(field.source, Read)
        return (self.value(field.source) & (1 << 8 * field.type.size) - 1).to_bytes(field.type.size, "little")

    def cpu(self) -> int:
        """The number of the processor that stopped."""
        processors = self._target.processors
        return 0 if processors is None else processors.current()

    def need_clock(self) -> Clock:
        """The clock. Raises Refused, with the target's reason, where there is none."""
        clock = self.clock
        if clock is None:
            raise Refused(f"{self._target.name} has no clock: {self._target.no_clock}")
        return clock

    def text(self, source: KnownText) -> bytes:
        """The bytes among which a string is, where the target stopped."""
        return self._target.read_memory(self._evaluate(source.address), source.size)

    def value(self, source: Read) -> int:
        """What target code would read where the target stopped."""
        if source.privileged and self._target.read_registers().cpsr & CPSR_MODE == MODE_USER:
            return 0
        task = self._target.task
        if task is not None and task.find_pid is not None and source.reading == task.pid:
            return task.find_pid()
        return self._evaluate(source.reading)

    def _evaluate(self, reading: Reading) -> int:
        match reading:
            case Constant(value):
                return value
            case CoreRegister(name):
                return int(getattr(self._target.read_registers(), name))
            case Load(address, offset, size):
                place = self._evaluate(address) + offset & _WORD
                return int.from_bytes(self._target.read_memory(place, size), "little")
            case Masked(value, mask):
                return self._evaluate(value) & mask
            case Sum(value, addend):
                return self._evaluate(value) + addend & _WORD
            case SystemRegister() | WideRegister():
                return self._execute(reading)
            case Routine(name):
                raise InternalError(f"{name} is for code in the target: its clock tells the host the time")

    def _execute(self, reading: SystemRegister | WideRegister) -> int:
        """Let the target execute the one instruction that reads a system register."""
        target = self._target
        if reading not in self._code:
            slot = self._slots.allocate(4)
            word = reading.word.to_bytes(4, "little")
            execute(plan_patch([], new_code=[Write(slot.address, None, word, "read a system register")]), target)
            self._code[reading] = slot
        slot = self._code[reading]
        saved = target.read_registers()
        regs = saved.copy()
        regs.pc = slot.address
        if target.own_faults is None:
            regs.cpsr |= MASKED  # no interrupt shall come instead
        target.write_registers(regs)
        try:
            target.run(lambda _: False, limit=1)
            found = target.read_registers()
            if found.pc != slot.address + 4:
                raise TargetError(f"{target.name} does not execute a single instruction where it is asked to")
            return found.r0 | found.r1 << 32 if isinstance(reading, WideRegister) else found.r0
        finally:
            target.write_registers(saved)
