"""A process under QEMU's user-mode emulator, as it runs: behind its stub, without it, or asking the host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from armprobe.errors import ProtocolError, TargetError, TargetLost, UsageError
from armprobe.targets.base import Stop, StopReason, TrapHandler
from armprobe.targets.connection import TIMEOUT
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linuxcalls import GETPID, SystemCalls
from armprobe.targets.mailbox import Mailbox, missing
from armprobe.targets.processmemory import SHARED_NAME, SharedData
from armprobe.targets.questions import Questions
from armprobe.targets.unwatched import await_end, let_go
from armprobe.targets.useremulator import EMULATOR, UserEmulator
from armprobe.targets.usermemory import UserMemory

_MOMENT = 0.2
#: how often shared memory is looked at while the process runs
_LOOK_SECONDS = 0.01
#: the architecture that brought load-exclusive
_EXCLUSIVES = 6


class EmulatedRun:
    """Lets one process run. `questions` are those of its threads; None: they can't ask, and `no_mailbox` says why."""

    def __init__(self, stub: GdbRemoteTarget, emulator: UserEmulator, shared: SharedData) -> None:
        self._stub = stub
        self._emulator = emulator
        self._shared = shared
        self.questions: Questions | None = None
        self.no_mailbox = ""
        #: where the program starts threads
        self._thread_starts: tuple[int, ...] = ()
        #: who makes system calls
        self._calls: SystemCalls | None = None
        #: whether it has left its stub
        self._free = False
        stub.runner.has_ended = lambda: emulator.threads < 1

    def open_mailbox(self, calls: SystemCalls, *, architecture: int) -> None:
        """Make it possible for threads to ask, if it is; the process has mapped the memory that it shares."""
        if architecture < _EXCLUSIVES:
            self.no_mailbox = f"threads take turns by load-exclusive, which architecture {architecture} has not"
        else:
            self.no_mailbox = missing()
        if self.no_mailbox:
            return
        process = calls.call(GETPID)
        try:
            memory = UserMemory(process, known=(SHARED_NAME, self._shared.start))
        except TargetError as error:
            self.no_mailbox = error.message
        else:
            mailbox = Mailbox(self._shared, process=process, can_stop=self._can_stop)
            self.questions = Questions(mailbox, memory, self._stub, self._emulator)

    def know(self, calls: SystemCalls, *, thread_starts: Iterable[int]) -> None:
        """Tell the functions that start threads, and who makes system calls, for which there is a trap."""
        self._calls, self._thread_starts = calls, tuple(thread_starts)

    def _can_stop(self) -> bool:
        return not self._free and self._emulator.threads <= 1

    @property
    def answering(self) -> Questions | None:
        """Who answers what a thread asks, while that is done: the target is what that thread sees."""
        return self.questions if self.questions is not None and self.questions.answering else None

    def run(self, on_trap: TrapHandler, *, until: int | None, limit: int | None) -> Stop:
        """Run like a `Target`. While a thread is answered that asks, it runs up to `until`, where code asks."""
        answering = self.answering
        if self._free and (answering is None or answering.holding):
            if until is not None or limit is not None:
                raise UsageError("a program that runs several threads can't be stopped at a place, or by instructions")
            self._stub.runner.stopping = False
            if answering is not None:
                answering.go_on()
            return self._unwatched()
        if answering is None:
            return self._run(on_trap, until=until, limit=limit)
        if until is None or limit is not None:
            raise UsageError("a handler can't let the program run on", hint="hit.call() calls a function of it")
        if answering.others_run:
            stop = answering.run(until)
        else:
            answering.stop_here()
            stop = self._run(on_trap, until=until, limit=None, nested=True)
        if stop.gone:
            answering.failure = TargetLost("the program ended while a handler let it run")
            raise answering.failure
        return stop

    def _run(self, on_trap: TrapHandler, *, until: int | None, limit: int | None, nested: bool = False) -> Stop:
        stub = self._stub
        stub.runner.idle, stub.runner.poll = self._look, _LOOK_SECONDS
        # Before there is a session, and while a handler waits, nobody could see to `until` without the stub.
        asks = self.questions is not None and self.questions.mailbox.answers and not nested
        watch = list(self._thread_starts) if limit is None and (until is None or asks) else []
        stub.own_breakpoints.insert(watch, owner=self)

        starts: list[int] = []

        def at_trap(pc: int) -> bool:
            if len(stub.threads.ids()) > 1:
                raise _several_threads()
            if pc not in watch:
                return on_trap(pc)
            if until is not None:
                starts.append(pc)
                return False
            stub.own_breakpoints.remove(watch, owner=self)
            watch.clear()
            self._let_go()
            return True

        try:
            with self._attentive(step=limit is not None):
                stop = stub.run(at_trap, until=until, limit=limit)
        except KeyboardInterrupt:
            pc = self._stub.read_registers().pc
            self._emulator.process.kill()
            return _left_handler(pc)
        except (ProtocolError, TargetLost) as error:
            if (left := self._check_answers()) is not None:
                return left
            if self.questions is not None and self.questions.given_up:
                return Stop(StopReason.INTERRUPT, 0, gone=True)
            if self._emulator.connection.hung_up:
                return self._unwatched()
            if self._emulator.threads > 1:
                # They talk at once.
                raise _several_threads() from error
            raise
        finally:
            stub.runner.idle, stub.runner.sleep = lambda: None, None
            if stub.alive:
                stub.own_breakpoints.remove(watch, owner=self)
        if stop.gone:
            self._emulator.process.wait(seconds=TIMEOUT)
        if starts:
            # Somebody else has to see to it that it stops at `until`: it can't be let go like that.
            stop = Stop(StopReason.ADDRESS, starts[0])
        return self._check_answers() or stop

    def end(self) -> None:
        """End the process."""
        self._emulator.process.kill()
        self._emulator.connection.close()

    def _look(self) -> bool:
        """See to what the process has left in shared memory. Whether the run ends, as a thread stays where it asked."""
        self._shared.look()
        if self.questions is None:
            return False
        self.questions.look()
        return self.questions.holding

    @contextmanager
    def _attentive(self, *, step: bool) -> Iterator[None]:
        """Answer questions at once within the block, but for a step: that is awaited more than a question."""
        if self.questions is None or step:
            yield
            return
        self._stub.runner.sleep = self.questions.sleep
        with self.questions.awake_at(self._emulator.connection.file):
            yield

    def _check_answers(self) -> Stop | None:
        """Raise what an answer raised; threads that have theirs may go on. The end of a run that was left in one."""
        if self.questions is not None:
            failure, left_at = self.questions.failure, self.questions.interrupted_at
            if failure is not None:
                raise failure from failure.__cause__
            if left_at is not None:
                return _left_handler(left_at)
            self.questions.mailbox.release()
        return None

    def _let_go(self) -> None:
        """Let the process, which is about to start a thread, go on without its stub, if nothing else is to stop it."""
        assert self._calls is not None
        if not self._stub.own_breakpoints.others(self._calls):
            let_go(self._stub, self._emulator)
            self._free = True

    def _unwatched(self) -> Stop:
        """The end of a process whose stub went."""
        emulator = self._emulator
        alive = not emulator.process.wait(seconds=0 if self._free else _MOMENT)
        if self._free:
            emulator.connection.lose(
                f"the program runs several threads, without the stub of {EMULATOR}",
                hint="a handler in Python can change probes: it is asked by a thread, which does it",
            )
        questions = self.questions
        if questions is None or not alive:
            stop = await_end(emulator, self._stub, self._look, every=_LOOK_SECONDS)
        else:
            with questions.awake_at(emulator.process.file):
                stop = await_end(emulator, self._stub, self._look, every=_LOOK_SECONDS, sleep=questions.sleep)
        if stop is None:
            assert questions is not None
            return Stop(StopReason.INTERRUPT, questions.registers.pc)
        if (left := self._check_answers()) is not None:
            return left
        if alive and not self._free and stop.exit_code is not None:
            return replace(stop, message="left the emulator without an end that it told: it executed another program")
        return stop


def _left_handler(pc: int) -> Stop:
    """The end of a run whose handler, for a thread at `pc`, was left by Ctrl-C; the program has ended with it."""
    return Stop(StopReason.INTERRUPT, pc, message="Ctrl-C left a handler that had not returned", gone=True)


def _several_threads() -> TargetError:
    return TargetError(
        f"the program runs several threads, and one of them came to a trap: {EMULATOR} can't stop one of several",
        hint="the `reason` of a probe tells why it is a trap; handlers of returns need the compiler: armprobe[compile]",
    )
