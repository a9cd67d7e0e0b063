"""Answering what threads ask by a mailbox, while their program runs under the emulator, with its stub or without."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from armprobe.errors import TargetError, TargetFault, TargetLost
from armprobe.targets.base import Registers, Stop, StopReason
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linuxcalls import MPROTECT, PROT_EXEC, PROT_READ, PROT_WRITE
from armprobe.targets.mailbox import Mailbox
from armprobe.targets.useremulator import EMULATOR, UserEmulator
from armprobe.targets.usermemory import UserMemory

#: the first version of QEMU that protects a page before it reads what it translates
_SEES_STORES = (6, 2)
#: how long a process whose memory has gone takes to its end
_ENDS_SECONDS = 1
_PAGE = 0x1000
#: how often the end of the program is looked for
_LOOK_SECONDS = 0.01


class Questions:
    """The questions of one program. `memory` is the program's, for who answers.

    An error of the answer is kept in `failure`, and ends the program: whoever let it run raises it.
    """

    def __init__(self, mailbox: Mailbox, memory: UserMemory, stub: GdbRemoteTarget, emulator: UserEmulator) -> None:
        self.mailbox = mailbox
        self.memory = memory
        self._stub = stub
        self._emulator = emulator
        self.failure: BaseException | None = None
        #: whether the program was ended, as a stop was wanted, and threads that it started unnoticed have a stub
        self.given_up = False
        #: whether the run has ended, with a thread that has its answer and stays where it is
        self.holding = False
        #: where a thread had asked whose handler was left by Ctrl-C
        self.interrupted_at: int | None = None
        self._watch: _Watch | None = None

    @property
    def answering(self) -> bool:
        """Whether a question is being answered: registers are those of the thread that asked."""
        return self.mailbox.registers is not None

    @property
    def registers(self) -> Registers:
        """Those of the thread that is answered."""
        assert self.mailbox.registers is not None
        return self.mailbox.registers

    @registers.setter
    def registers(self, registers: Registers) -> None:
        self.mailbox.registers = registers

    def write(self, address: int, data: bytes) -> bool:
        """Write data of the program; False where the program may not, or the emulator watches, as it does code."""
        try:
            self.memory.write(address, data)
        except TargetFault:
            return False
        return True

    @property
    def others_run(self) -> bool:
        """Whether other threads run while this one is answered, and no stub can stop them."""
        return not self.mailbox.can_stop

    def call(self, number: int, *arguments: int) -> int:
        """Have the thread that is answered make a system call, and return its result, unsigned. Raises TargetLost."""
        return self.mailbox.call(number, *arguments, alive=self._lives)

    def store(self, address: int, data: bytes, *, protected: bool) -> None:
        """Have the thread that is answered store code, in whole words: so the emulator learns of it.

        What is `protected` is made writable before. Raises TargetError where the emulator may execute code that it
        translated before, and TargetLost.
        """
        if self._emulator.version < _SEES_STORES:
            raise TargetError(
                f"this version of {EMULATOR} may execute code that it began to translate before a change: QEMU 6.2 and "
                "later do not",
                hint="plant probes before the program starts threads",
            )
        start, end = address & ~3, address + len(data) + 3 & ~3
        if protected:
            page = start & -_PAGE
            size = (end + _PAGE - 1 & -_PAGE) - page
            if self.call(MPROTECT, page, size, PROT_READ | PROT_WRITE | PROT_EXEC):
                raise TargetFault(f"the page at 0x{page:08x} can't be made writable", address=address, size=len(data))
        before, after = self.memory.read_many(
            [(start, address - start), (address + len(data), end - address - len(data))]
        )
        self.mailbox.store(start, before + data + after, alive=self._lives)

    def _lives(self) -> bool:
        return not self._emulator.process.wait(seconds=0)

    def run(self, until: int) -> Stop:
        """Let the thread that is answered run up to `until`, where it asks again; others are answered meanwhile.

        Nothing stops, and no stub is asked.
        """
        before = self.registers
        self.mailbox.let_run()
        while not self._emulator.process.wait(seconds=0) and not self._stub.runner.stopping and self.failure is None:
            for entry in self.mailbox.waiting():
                if self.mailbox.point(entry) == until:
                    self.mailbox.take(entry)
                    return Stop(StopReason.ADDRESS, until)
                self._answer(entry)
                self.mailbox.release()
            self.mailbox.sleep(_LOOK_SECONDS)
        self.registers = before  # whoever asked for it looks at the thread as it was
        ended = self._emulator.process.returncode is not None
        return Stop(StopReason.EXIT if ended else StopReason.INTERRUPT, until, gone=ended)

    def stop_here(self) -> None:
        """Have the stub stop the program, and the thread that is answered go on when it lets it run."""
        self._halt()
        self.mailbox.let_run()

    def go_on(self) -> None:
        """Let the thread that stayed go on."""
        self.holding = False
        self.mailbox.let_go()
        self.mailbox.release()

    def look(self) -> None:
        """Answer all who wait, unless a stop is wanted: then they wait until `mailbox.release`.

        One whose handler wants it stays, where the stub has gone and other threads run on.
        """
        if self._over:
            return
        for entry in self.mailbox.waiting():
            with self._apart():
                self._answer(entry)
            stopping = self._stub.runner.stopping and self.interrupted_at is None and self.failure is None
            if stopping and self.others_run and not self.holding:
                self.given_up = True
                self._emulator.process.kill()
            if self._stub.runner.stopping or self.failure is not None:
                return
            self.mailbox.release()

    @property
    def _over(self) -> bool:
        """Whether the program was ended for what a handler did; whoever lets it run may not have heard of that yet."""
        return self.failure is not None or self.interrupted_at is not None or self.given_up

    def _stays(self) -> bool:
        self.holding = self._stub.runner.stopping and self.others_run and self._emulator.connection.hung_up
        return self.holding

    def sleep(self, seconds: float) -> bool:
        """Sleep until there is a question, or one of the files of `awake_at` can be read: whether that is so."""
        watch = self._watch
        if watch is not None:
            watch.arm()
        self.mailbox.sleep(seconds)
        return watch is not None and watch.take_news()

    @contextmanager
    def awake_at(self, *files: int) -> Iterator[None]:
        """Let `sleep` end within the block when one of the files can be read."""
        outer, self._watch = self._watch, _Watch(files, self.mailbox.wake)
        try:
            yield
        finally:
            self._watch.close()
            self._watch = outer

    def _answer(self, entry: int) -> None:
        runner = self._stub.runner
        try:
            runner.handling += 1
            try:
                self.mailbox.serve(entry, stays=self._stays)
            finally:
                runner.handling -= 1
        except KeyboardInterrupt:
            self.interrupted_at = self.mailbox.point(entry)
            self._emulator.process.kill()
        except TargetLost as error:
            # The program may end while a handler looks at it: that is the end of the run, and no failure.
            if self.failure is None and not self._emulator.process.wait(seconds=_ENDS_SECONDS):
                self.failure = error
            self._emulator.process.kill()
        except BaseException as error:  # noqa: BLE001 - passed on by whoever waits for the program
            self.failure = error
            self._emulator.process.kill()

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Answer nobody else within the block; what needs the stub stops the program first."""
        runner = self._stub.runner
        idle, sleep = runner.idle, runner.sleep
        runner.idle, runner.sleep = lambda: None, None
        self._emulator.connection.before = self._halt
        try:
            yield
        finally:
            self._emulator.connection.before = None
            runner.idle, runner.sleep = idle, sleep

    def _halt(self) -> None:
        if self._emulator.threads > 1:
            self._emulator.connection.before = self._halt
            raise TargetError(
                f"the program runs several threads, which {EMULATOR} can't stop for that",
                hint="a handler in Python can change probes: it is asked by a thread, which does it",
            )
        self._stub.runner.halt()


class _Watch:
    """A thread that calls `wake` once after each `arm`, when one of the files can be read."""

    def __init__(self, files: tuple[int, ...], wake: Callable[[], object]) -> None:
        self._wake = wake
        self._armed = threading.Event()
        self._end, self._ended = os.pipe()
        self._poll = select.poll()
        for file in (self._end, *files):
            self._poll.register(file, select.POLLIN)
        self._over = self._news = False
        self._thread = threading.Thread(target=self._run, name="armprobe-watch", daemon=True)
        self._thread.start()

    def arm(self) -> None:
        if not self._armed.is_set():
            self._armed.set()

    def take_news(self) -> bool:
        """Whether a file could be read since this was asked last."""
        news, self._news = self._news, False
        return news

    def close(self) -> None:
        self._over = True
        with suppress(OSError):
            os.write(self._ended, b".")
        self._armed.set()
        self._thread.join()
        os.close(self._end)
        os.close(self._ended)

    def _run(self) -> None:
        while not self._over:
            self._armed.wait()
            self._poll.poll()
            self._armed.clear()
            self._news = True
            self._wake()
