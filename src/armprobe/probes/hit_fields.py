"""What definitions may ask of a hit besides registers and memory: its task and its processor, in the kernel's words."""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.errors import UsageError
from armprobe.events.record import COMM_TYPE, TYPES, FieldType
from armprobe.events.source import KnownText, Read, Source
from armprobe.isa.reading import Constant
from armprobe.targets.capabilities import Task

#: what they are called in filters and after a $, and the spellings that the kernel has for them in filters besides
NAMES = ("common_pid", "common_tgid", "common_cpu", "comm")
_SPELLINGS = {name: name for name in NAMES} | {"COMM": "comm", "CPU": "common_cpu", "cpu": "common_cpu"}
_PROCESSOR = "common_cpu"
#: names that a program has for itself, too
COMMON_WORDS = frozenset({"comm", "cpu"})


@dataclass(frozen=True, slots=True)
class HitFields:
    """The fields that every hit on one target has. `no_task` says why `task`, or a part of it, is None."""

    processor: Read
    task: Task | None
    no_task: str = ""

    def find(self, name: str) -> tuple[Source, FieldType] | None:
        """The field of that name, or None. Raises UsageError for one that this target does not know."""
        known = _SPELLINGS.get(name)
        if known is None:
            return None
        if known == _PROCESSOR:
            return self.processor, TYPES["u32"]
        if self.task is None:
            raise UsageError(
                f"{name} is a field of tasks, and there are none here: {self.no_task}",
                hint="a live kernel has them: --kernel, attach_kernel()",
            )
        if known == "common_pid":
            return Read(self.task.pid), TYPES["s32"]
        found = self.task.tgid if known == "common_tgid" else self.task.comm
        if found is None or isinstance(found, str):
            raise UsageError(f"{name} is not known here: {self.no_task}", hint="the thread is: common_pid")
        return (KnownText(found, COMM_TYPE.size), COMM_TYPE) if known == "comm" else (Read(found), TYPES["s32"])


#: where a definition is read without one
NO_TARGET = HitFields(Read(Constant(0)), None, "no target is known here")
