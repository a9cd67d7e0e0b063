"""What the kernel tells of a process or a thread in /proc (proc(5)), read through a stub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from armprobe.errors import ProtocolError
from armprobe.targets.remotefiles import Exchange, read_file


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """`limited`: it may make certain system calls only (seccomp). Signals are sets: bit n - 1 stands for signal n."""

    limited: bool
    blocked: int
    ignored: int
    caught: int

    @classmethod
    def read(cls, exchange: Exchange, process: int, thread: int | None = None) -> Self | None:
        """That of a process, or of one of its threads; None where the stub reads no such file."""
        task = "" if thread is None else f"/task/{thread}"
        content = read_file(exchange, f"/proc/{process}{task}/status")
        return None if content is None else cls.parse(content)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        lines = (line.partition(b":") for line in content.splitlines())
        fields = {name: value.strip() for name, _, value in lines}
        try:
            blocked, ignored, caught = (int(fields[name], 16) for name in (b"SigBlk", b"SigIgn", b"SigCgt"))
        except (KeyError, ValueError):
            raise ProtocolError("what the kernel tells of a process has no signals") from None
        return cls(fields.get(b"Seccomp", b"0") != b"0", blocked, ignored, caught)

    def catches(self, signal: int) -> bool:
        """Whether the program has a handler for the signal."""
        return bool(self.caught >> (signal - 1) & 1)

    def handles(self, signal: int) -> bool:
        """Whether the signal does not do to the program what it does by default."""
        return bool((self.caught | self.ignored) >> (signal - 1) & 1)
