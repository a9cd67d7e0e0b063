"""Arm semihosting: the calls by which a bare-metal program prints, ends, and asks for its surroundings.

`SVC 0x123456` in A32 state (0xab in T32 state) with the operation in r0 and a parameter block in r1; the result comes
back in r0 (Arm "Semihosting for AArch32 and AArch64", 2.0). Only the console is served: a file on the host cannot be
opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

SVC_A32 = 0x123456
SVC_T32 = 0xAB

APPLICATION_EXIT = 0x20026
FAILED = 0xFFFFFFFF
EBADF, ENOENT, EINVAL, ENOSYS = 9, 2, 22, 38
_CONSOLE, _FEATURES = ":tt", ":semihosting-features"
#: magic, then bit 0: SYS_EXIT_EXTENDED is there
_FEATURE_FILE = b"SHFB\x01"
_LONGEST_STRING = 1 << 20


class Operation(IntEnum):
    """The operations that are served."""

    OPEN = 0x01
    CLOSE = 0x02
    WRITEC = 0x03
    WRITE0 = 0x04
    WRITE = 0x05
    READ = 0x06
    READC = 0x07
    ISERROR = 0x08
    ISTTY = 0x09
    SEEK = 0x0A
    FLEN = 0x0C
    CLOCK = 0x10
    TIME = 0x11
    ERRNO = 0x13
    GET_CMDLINE = 0x15
    HEAPINFO = 0x16
    EXIT = 0x18
    EXIT_EXTENDED = 0x20
    ELAPSED = 0x30
    TICKFREQ = 0x31


class Memory(Protocol):
    """What semihosting needs of a target."""

    def read_memory(self, address: int, size: int) -> bytes: ...

    def write_memory(self, address: int, data: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Exit:
    """The program ended. `code` is 0 for success; `reason` is the program's own word for how it ended."""

    code: int
    reason: int = APPLICATION_EXIT


@dataclass(slots=True)
class _File:
    """An open handle: the console, or the feature file with the position in it."""

    console: bool
    position: int = 0


@dataclass(slots=True)
class Semihosting:
    """The host's side of semihosting for one program.

    `output` gets what the program prints, `input` is what it reads, `command_line` its arguments in one string,
    `heap` the four addresses of SYS_HEAPINFO: heap base and limit, stack base (its upper end) and limit; `started` is
    the time its clocks count from, by `time.monotonic`.
    """

    output: Callable[[bytes], object]
    command_line: str = ""
    heap: Sequence[int] = (0, 0, 0, 0)
    input: bytes = b""
    started: float = field(default_factory=time.monotonic)
    _files: dict[int, _File] = field(default_factory=dict)
    _errno: int = 0

    def call(self, memory: Memory, operation: int, parameter: int) -> int | Exit:
        """Serve one call: return the value for r0, or Exit. An operation that is not served fails with ENOSYS.

        Raises TargetFault where the parameter block or a buffer cannot be reached.
        """
        match operation:
            case Operation.OPEN:  # name, mode, length
                address, mode, length = _words(memory, parameter, 3)
                return self._open(memory.read_memory(address, length).decode("latin-1"), mode)
            case Operation.CLOSE:
                (handle,) = _words(memory, parameter, 1)
                return 0 if self._files.pop(handle, None) else self._fail(EBADF)
            case Operation.WRITEC:
                self.output(memory.read_memory(parameter, 1))
                return 0
            case Operation.WRITE0:
                self.output(_string(memory, parameter))
                return 0
            case Operation.WRITE:  # returns the number of bytes not written
                handle, address, length = _words(memory, parameter, 3)
                file = self._files.get(handle)
                if file is None or not file.console:
                    self._errno = EBADF
                    return length
                self.output(memory.read_memory(address, length))
                return 0
            case Operation.READ:  # returns the number of bytes not read
                handle, address, length = _words(memory, parameter, 3)
                return self._read(memory, handle, address, length)
            case Operation.READC:
                character, self.input = self.input[:1], self.input[1:]
                return character[0] if character else FAILED
            case Operation.ISERROR:
                (status,) = _words(memory, parameter, 1)
                return status >> 31
            case Operation.ISTTY:
                (handle,) = _words(memory, parameter, 1)
                return int(self._files[handle].console) if handle in self._files else self._fail(EBADF)
            case Operation.SEEK:
                handle, position = _words(memory, parameter, 2)
                file = self._files.get(handle)
                if file is None or file.console or position > len(_FEATURE_FILE):
                    return self._fail(EINVAL)
                file.position = position
                return 0
            case Operation.FLEN:
                (handle,) = _words(memory, parameter, 1)
                file = self._files.get(handle)
                return self._fail(EBADF) if file is None else 0 if file.console else len(_FEATURE_FILE)
            case Operation.CLOCK:  # hundredths of a second since the program started
                return int((time.monotonic() - self.started) * 100)
            case Operation.TIME:  # seconds since 1970
                return int(time.time()) & 0xFFFFFFFF
            case Operation.ERRNO:
                return self._errno
            case Operation.GET_CMDLINE:  # buffer, size; the size that was used is written back
                address, size = _words(memory, parameter, 2)
                line = self.command_line.encode() + b"\0"
                if len(line) > size:
                    return self._fail(EINVAL)
                memory.write_memory(address, line)
                memory.write_memory(parameter + 4, (len(line) - 1).to_bytes(4, "little"))
                return 0
            case Operation.HEAPINFO:  # the address of a block of four words
                (block,) = _words(memory, parameter, 1)
                memory.write_memory(block, b"".join(word.to_bytes(4, "little") for word in self.heap))
                return 0
            case Operation.EXIT:  # on AArch32 the reason itself, without a code
                return Exit(0 if parameter == APPLICATION_EXIT else 1, parameter)
            case Operation.EXIT_EXTENDED:  # reason, code
                reason, code = _words(memory, parameter, 2)
                return Exit(code if reason == APPLICATION_EXIT else code or 1, reason)
            case Operation.ELAPSED:  # ticks as 64 bits; a tick is a nanosecond
                ticks = int((time.monotonic() - self.started) * 1e9)
                memory.write_memory(parameter, ticks.to_bytes(8, "little"))
                return 0
            case Operation.TICKFREQ:
                return 1_000_000_000
            case _:
                return self._fail(ENOSYS)

    def _open(self, name: str, mode: int) -> int:
        if name not in (_CONSOLE, _FEATURES) or mode > 11 or (name == _FEATURES and mode > 1):
            return self._fail(ENOENT)
        handle = next(number for number in range(1, len(self._files) + 2) if number not in self._files)
        self._files[handle] = _File(name == _CONSOLE)
        return handle

    def _read(self, memory: Memory, handle: int, address: int, length: int) -> int:
        file = self._files.get(handle)
        if file is None:
            self._errno = EBADF
            return length
        if file.console:
            data, self.input = self.input[:length], self.input[length:]
        else:
            data = _FEATURE_FILE[file.position :][:length]
            file.position += len(data)
        memory.write_memory(address, data)
        return length - len(data)

    def _fail(self, errno: int) -> int:
        self._errno = errno
        return FAILED


def _words(memory: Memory, address: int, count: int) -> list[int]:
    data = memory.read_memory(address, 4 * count)
    return [int.from_bytes(data[offset : offset + 4], "little") for offset in range(0, 4 * count, 4)]


def _string(memory: Memory, address: int) -> bytes:
    """The bytes from `address` up to a zero; read piecewise, so that the end of memory behind it does no harm."""
    text = bytearray()
    while len(text) < _LONGEST_STRING:
        end = (address + 64) & ~63
        piece = memory.read_memory(address, end - address)
        head, zero, _ = piece.partition(b"\0")
        text += head
        if zero:
            break
        address = end
    return bytes(text)
