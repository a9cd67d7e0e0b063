"""Where a Linux kernel has the number and the name of a task, found in its own data: no types have to be known.

The first task of a kernel is part of its data and named `swapper`; it heads the list of all processes, in which it is
followed by number 1, `init`, and number 2, `kthreadd`. These three say where name, numbers and links are, from each
other. Where the task itself begins says one that runs: its stack, like that of the three, begins where a word of the
task points to. (struct task_struct in include/linux/sched.h.)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

#: bytes of a name, with its zero
COMM_BYTES = 16
_FIRST, _SECOND = (b"swapper/0\0", b"swapper\0"), b"kthreadd\0"
#: at most so far are the members of a task from its name, and its name from its beginning
_REACH = 0x2000
_STACK_MASK = 0x1FFF
#: what a task begins with is its thread_info, and behind that its stack is named
_STACK_NEAR = 0x400
_CHUNK = 1 << 20
_MOST_PID = 1 << 22
_WORD = 4
#: the number of the process stands behind that of the task
TGID_BEHIND_PID = _WORD

#: reads `size` bytes at an address, what is not there as zeros
Read = Callable[[int, int], bytes]


class Snapshot:
    """Memory of a kernel that stands still, as `read` gives it: what is `known`, or was read in one piece, is kept."""

    def __init__(self, read: Read, known: tuple[int, bytes]) -> None:
        self._read = read
        self._pieces = [known]

    def read(self, address: int, size: int) -> bytes:
        for start, piece in self._pieces:
            if start <= address and address + size <= start + len(piece):
                return piece[address - start : address - start + size]
        data = self._read(address, size)
        if size >= _CHUNK:
            self._pieces.append((address, data))
        return data


@dataclass(frozen=True, slots=True)
class TaskLayout:
    """Offsets in a task."""

    comm: int
    pid: int


@dataclass(frozen=True, slots=True)
class _Block:
    """Memory around the name of a task; offsets are from the name."""

    comm: int
    data: bytes

    def word(self, offset: int) -> int:
        place = offset + _REACH
        return int.from_bytes(self.data[place : place + _WORD], "little")


def find_layout(read: Read, data: tuple[int, int], *, task: int, sp: int) -> TaskLayout | None:
    """Return how tasks are laid out, or None when that is not certain.

    `data` is the [start, end) in which the kernel's own data is; `task` is one that runs, with its stack pointer.
    """
    head = bytes(read(task, _REACH))
    stack = sp & ~_STACK_MASK
    stacks = [offset for offset in range(0, _STACK_NEAR, _WORD) if struct.unpack_from("<I", head, offset)[0] == stack]
    for first in _find_first(read, data):
        found = {
            TaskLayout(comm, comm + pid)
            for one, two in _followers(read, first)
            for pid in _pid_offsets((first, one, two))
            for offset in stacks
            for comm in _comm_offsets((first, one, two), offset)
            if _is_task(head, comm, comm + pid)
        }
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _block(read: Read, comm: int) -> _Block:
    return _Block(comm, read(comm - _REACH, 2 * _REACH))


def _find_first(read: Read, data: tuple[int, int]) -> Iterator[_Block]:
    """What may be the first task: everything that has its name."""
    start, end = data
    for chunk in range(start, end, _CHUNK):
        held = read(chunk, min(_CHUNK, end - chunk))
        for name in _FIRST:
            place = held.find(name)
            while place >= 0:
                if place % _WORD == 0 and not any(held[place + len(name) : place + COMM_BYTES]):
                    yield _block(read, chunk + place)
                place = held.find(name, place + 1)


def _followers(read: Read, first: _Block) -> Iterator[tuple[_Block, _Block]]:
    """The two tasks that follow in the list of all."""
    for offset in range(-_REACH, _REACH - _WORD, _WORD):
        link = first.comm + offset
        after, before = first.word(offset), first.word(offset + _WORD)
        if after % _WORD or before % _WORD or link in (after, before) or not after or not before:
            continue
        following, back = struct.unpack("<2I", read(after, 2 * _WORD))
        if back != link or following in (link, after):
            continue
        second = following - offset
        if read(second, len(_SECOND)) == _SECOND and read(following + _WORD, _WORD) == struct.pack("<I", after):
            yield _block(read, after - offset), _block(read, second)


def _pid_offsets(tasks: Sequence[_Block]) -> list[int]:
    """Where the three have 0, 1 and 2, twice: as number of the task and of its process."""
    return [
        offset
        for offset in range(-_REACH, _REACH - _WORD, _WORD)
        if all(task.word(offset) == task.word(offset + _WORD) == number for number, task in enumerate(tasks))
    ]


def _comm_offsets(tasks: Sequence[_Block], stack: int) -> list[int]:
    """How far from its beginning a task can have its name, if the word at `stack` is the beginning of its stack."""
    found = []
    for offset in range(stack + _WORD, _REACH, _WORD):
        stacks = {task.word(stack - offset) for task in tasks}
        if len(stacks) == len(tasks) and all(place and not place & _STACK_MASK for place in stacks):
            found.append(offset)
    return found


def _is_task(head: bytes, comm: int, pid: int) -> bool:
    """Whether a task may have this name and this number."""
    name, _, _ = head[comm : comm + COMM_BYTES].partition(b"\0")
    if not name or len(name) == COMM_BYTES or any(byte < 0x20 for byte in name) or pid < 0:
        return False
    own, group = struct.unpack_from("<2I", head, pid)
    return bool(0 < group < _MOST_PID and 0 < own < _MOST_PID)
