"""How threads of a process ask the host while it runs, through memory that both have: nothing is stopped for it.

A thread takes an entry, leaves its registers there, says that it waits, and sleeps (futex) until there is an answer:
the registers to go on with. `armprobe.codegen.asking` is the thread's side.

What orders memory on the host are its futex calls: each of them is a full barrier, and the one that answers also
changes the state of the entry and wakes the thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable

from armprobe.errors import TargetError, TargetLost
from armprobe.targets.base import CPSR_T, Registers, TrapHandler
from armprobe.targets.mailboxlayout import (
    ANSWERED,
    ASKED,
    CALLS,
    CONTENT,
    DATA,
    DATA_SIZE,
    DECLINED,
    ENTRIES,
    ENTRY_SIZE,
    LINK,
    NOBODY,
    SIZE,
    SLEEPS,
    STATES,
    STORES,
    THREAD,
    WAITS,
    WORK,
    WORK_ARGUMENTS,
)
from armprobe.targets.processmemory import SharedData

#: signals that a waiting thread lets in: those of real time by which a program is stopped from outside
_ADMITTED = range(62, 65)
_PAGE = 0x1000
_PAUSE_NANOSECONDS = 500_000
#: the number of the system call futex, where this computer's words are those of the program
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221}
_WAIT, _WAKE_OP = 0, 5
#: where FUTEX_WAKE_OP has the operand of its operation, of which 0 is to set a word
_OPERAND = 12
_ADD_ONE = 1 << 28 | 1 << _OPERAND
#: a sleep that did not begin, was interrupted, or came to its end
_NO_ERRORS = (errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT)
_PC = 15
_WORDS = struct.Struct("<17I")
_WORD = 4
#: how long the end of what a thread does for us is awaited, before the program's end is looked for
_LOOK_SECONDS = 0.01


def missing() -> str:
    """Why there can be no mailbox on this computer; empty when there can."""
    machine = platform.machine()
    return "" if machine in _FUTEX else f"armprobe does not know how a {machine} computer waits for shared memory"


class Mailbox:
    """The host's side of a `Mailbox`, in memory that the process shares."""

    def __init__(self, shared: SharedData, *, process: int, can_stop: Callable[[], bool]) -> None:
        """`process` is the only one that asks, not its children; `can_stop` tells whether it has but one thread.

        Raises Refused when there is no memory.
        """
        self._can_stop = can_stop
        self._shared = shared
        self.address = shared.allocate(-(-SIZE // _PAGE) * _PAGE, 0, 1 << 32)
        blocked = (1 << 64) - 1 & ~sum(1 << number - 1 for number in _ADMITTED)
        shared.write(self.address, struct.pack("<4IQ2I", process, 0, 0, 0, blocked, 0, _PAUSE_NANOSECONDS))
        self._place = shared.place(self.address)
        self._system = ctypes.CDLL(None, use_errno=True).syscall
        self._number = _FUTEX[platform.machine()]
        #: how many threads had asked when we looked
        self._seen = 0
        #: the entry that is being answered; None: its thread runs on, or somebody else has it
        self._entry: int | None = None
        #: the registers of the thread that is answered
        self.registers: Registers | None = None
        #: entries whose threads must not go on yet, and the states that let them
        self._held: dict[int, int] = {}
        self._answer: TrapHandler = lambda _point: False
        #: whether somebody answers
        self.answers = False

    @property
    def can_stop(self) -> bool:
        return self._can_stop()

    def answer_with(self, answer: TrapHandler) -> None:
        self._answer, self.answers = answer, True

    def sleep(self, seconds: float) -> None:
        """Sleep until a thread asks, or a signal comes, for so long at most."""
        self._put(SLEEPS, 1)
        whole = int(seconds)
        # A thread that asked since we looked has changed the word: then there is no sleep.
        self._futex(ASKED, _WAIT, self._seen, struct.pack("@ll", whole, int((seconds - whole) * 1e9)))
        self._put(SLEEPS, 0)

    def wake(self) -> None:
        """End a sleep, the next one if there is none; from another thread."""
        self._futex(ASKED, _WAKE_OP, 1, None, ASKED, _ADD_ONE)

    def waiting(self) -> list[int]:
        """The entries of threads that wait and have not been answered."""
        self._seen = self._get(ASKED)
        states = self._shared.read(self.address + STATES, 4 * ENTRIES)
        found, at = [], states.find(WAITS)
        while at >= 0:
            if at // 4 not in self._held:
                found.append(at // 4)
            at = states.find(WAITS, at + 4)
        return found

    def serve(self, entry: int, *, stays: Callable[[], bool] = lambda: False) -> None:
        """Have the question of a thread answered, if it waits still. It goes on at `release`.

        If it `stays` then, it is still looked at after that, up to `let_go`.
        """
        if self._get(STATES + 4 * entry) != WAITS:
            return
        self.take(entry)
        stay = False
        try:
            assert self.registers is not None
            answered = self._answer(self.registers.pc)
            self._leave(answered=answered)
            stay = stays()
        finally:
            if not stay:
                self._entry = self.registers = None

    def let_go(self) -> None:
        """Look no more at a thread that stayed, which goes on at `release`."""
        if self._entry is not None:
            self._leave(answered=self._held[self._entry] == ANSWERED)
        self._entry = self.registers = None

    def take(self, entry: int) -> None:
        """Let `registers` be those of a thread that waits."""
        self._change(NOBODY, 0)  # a barrier: what it left is read after that it waits
        *values, cpsr = _WORDS.unpack(self._shared.read(self._content(entry), _WORDS.size))
        values[15] -= LINK
        self._entry, self.registers = entry, Registers(values, cpsr)

    @property
    def thread_register(self) -> int:
        """TPIDRURO of the thread that is answered; from architecture 7 on."""
        assert self._entry is not None
        return self._get(CONTENT + ENTRY_SIZE * self._entry + THREAD)

    def point(self, entry: int) -> int:
        """Where the thread asks."""
        return self._get(CONTENT + ENTRY_SIZE * entry + 4 * _PC) - LINK

    def call(self, number: int, *arguments: int, alive: Callable[[], bool]) -> int:
        """Have the thread that is answered make a system call, and return its result, unsigned.

        Raises TargetLost when the program is not `alive` any more; the same for `store`.
        """
        padded = [argument & 0xFFFFFFFF for argument in arguments] + [0] * (WORK_ARGUMENTS - len(arguments))
        self._work(CALLS, [number, *padded], alive)
        assert self._entry is not None
        return self._get(CONTENT + ENTRY_SIZE * self._entry + WORK)

    def store(self, address: int, data: bytes, *, alive: Callable[[], bool]) -> None:
        """Have the thread that is answered store whole words, which it may write, each at once."""
        for start in range(0, len(data), DATA_SIZE):
            part = data[start : start + DATA_SIZE]
            self._shared.write(self.address + DATA, part)
            place = address + start
            self._work(STORES, [place, place + len(part), self.address + DATA], alive)

    def _work(self, state: int, words: list[int], alive: Callable[[], bool]) -> None:
        """Have the thread do what `state` stands for with the words, and come back."""
        assert self._entry is not None
        entry, seen = self._entry, self._seen
        try:
            self._await(entry, alive)  # Ctrl-C may have ended the wait for what it did before
            self._shared.write(self._content(entry) + WORK, struct.pack(f"<{len(words)}I", *words))
            self._change(STATES + _WORD * entry, state)
            self._await(entry, alive)
        finally:
            self._seen = seen  # others may have asked meanwhile
        self._change(NOBODY, 0)  # a barrier: what it did is looked at after that it says so

    def _await(self, entry: int, alive: Callable[[], bool]) -> None:
        """Wait until the thread waits."""
        while True:
            self._seen = self._get(ASKED)
            if self._get(STATES + _WORD * entry) == WAITS:
                return
            if not alive():
                raise TargetLost("the program has ended, and its memory with it")
            self.sleep(_LOOK_SECONDS)

    def let_run(self) -> None:
        """Let the thread that is answered go on with its registers now, before its question has been dealt with."""
        self._leave(answered=True)
        self._entry = self.registers = None
        self.release()

    def release(self) -> None:
        """Let all threads go on that were answered."""
        for entry, state in self._held.items():
            self._change(STATES + 4 * entry, state)
        self._held.clear()

    def _leave(self, *, answered: bool) -> None:
        """Put the registers where the thread finds them."""
        registers = self.registers
        if self._entry is None or registers is None:
            return
        values = [*registers.values[:_PC], registers.pc | bool(registers.cpsr & CPSR_T)]
        self._shared.write(self._content(self._entry), _WORDS.pack(*values, registers.cpsr))
        self._held[self._entry] = ANSWERED if answered else DECLINED

    def _content(self, entry: int) -> int:
        return self.address + CONTENT + ENTRY_SIZE * entry

    def _get(self, offset: int) -> int:
        return int.from_bytes(self._shared.read(self.address + offset, 4), "little")

    def _put(self, offset: int, value: int) -> None:
        self._shared.write(self.address + offset, value.to_bytes(4, "little"))

    def _change(self, offset: int, value: int) -> None:
        """Set a word, with a barrier before and after, and wake the thread that sleeps there."""
        self._futex(offset, _WAKE_OP, 1, None, offset, value << _OPERAND)

    def _futex(
        self, offset: int, operation: int, value: int, limit: bytes | None, other: int = 0, third: int = 0
    ) -> None:
        where, second = (ctypes.c_void_p(self._place + at) for at in (offset, other))
        number = ctypes.c_long(self._number)
        if self._system(number, where, operation, value, ctypes.c_char_p(limit), second, third) < 0:
            code = ctypes.get_errno()
            if code not in _NO_ERRORS:
                raise TargetError(f"the kernel of this computer takes no futex call: {os.strerror(code)}")
