"""What gdbserver tells of a process besides traps and signals: its children, its end, and what it executes instead.

Source: the GDB manual, "Stop Reply Packets" and "General Query Packets" (qSupported, QCatchSyscalls, QPassSignals).
Tried with gdbserver 13, which wants this of its client:

- A child that was forked has the traps of its parent in its memory, and nobody else takes them away.
- When it lets go of a process, a thread that stands before a system call is given a signal that does not exist, and
  that fails (linux-low.cc, get_detach_signal), unless it is told which signals a program may get.
- A child of vfork runs in its parent's memory. While it does, the thread that made it sleeps, where gdbserver waits for
  ever to stop it: that thread must not be resumed.
"""

from __future__ import annotations

from collections.abc import Callable

from armprobe.errors import ProtocolError
from armprobe.targets.base import Stop, StopReason
from armprobe.targets.connection import Connection
from armprobe.targets.processstatus import ProcessStatus
from armprobe.targets.remotebreakpoints import RemoteBreakpoints
from armprobe.targets.remotefiles import read_file
from armprobe.targets.remotethreads import RemoteThreads
from armprobe.targets.rsp import StopKind, StopReply, ThreadId, data_of, number, stop_reply, thread_id
from armprobe.targets.signals import ends_by_default, linux_signal

_OFFER = b"qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;fork-events+;vfork-events+;exec-events+"
#: system calls after which the memory of a process may be gone (arch/arm/tools/syscall.tbl)
_EXIT, _EXECVE, _EXIT_GROUP, _EXECVEAT = 1, 11, 248, 387
#: signals, in GDB's numbering, that do nothing by default: URG, CONT, CHLD, WINCH
_HARMLESS = (16, 19, 20, 28)
_INT, _TRAP, _STOP, _UNKNOWN = 2, 5, 17, 143
#: that a new program gets before its first instruction, at most
_MOST_SIGNALS = 20


class ProcessEvents:
    """Follows one process. `keep` is called once it has ended, or executed another program.

    After `keep_early`, it is called before that, whenever the memory of the process may go.
    """

    def __init__(
        self,
        connection: Connection,
        threads: RemoteThreads,
        breakpoints: RemoteBreakpoints,
        *,
        keep: Callable[[], object],
    ) -> None:
        """Ask the stub to tell; the process stands still. Raises ProtocolError when the stub names no process."""
        if threads.current is None or threads.current.process is None:
            raise ProtocolError(f"the stub at {connection.name} does not say which process it has")
        self.process = threads.current.process
        self._connection = connection
        self._threads = threads
        self._breakpoints = breakpoints
        self._keep = keep
        #: the thread that sleeps until its child of vfork, by whose process number it is found, has its own memory
        self._vforked: dict[int, ThreadId] = {}
        self._early = False
        self._heeded: set[int] | None = None
        #: whether an interrupt, which the stub sends to the process group, reaches this process alone; None: not known
        self._alone: bool | None = None
        threads.follow(self.process)
        own = ";".join(f"{signal:x}" for signal in range(1, _UNKNOWN) if signal not in (_INT, _TRAP))
        connection.exchange([_OFFER, f"QProgramSignals:{own}".encode()])
        self.heed(set())

    def heed(self, signals: set[int]) -> None:
        """Hear of these signals, in GDB's numbering, though they do nothing by default."""
        if signals != self._heeded:
            self._heeded = signals
            passed = ";".join(f"{signal:x}" for signal in _HARMLESS if signal not in signals)
            self._connection.ask(f"QPassSignals:{passed}".encode())

    def keep_early(self) -> None:
        """Have `keep` called as long as the memory can be read: before signals and system calls that may end it.

        For that, gdbserver stops the process shortly at each of its system calls, whichever they are.
        """
        self._early = True
        calls = ";".join(f"{call:x}" for call in (_EXIT, _EXECVE, _EXIT_GROUP, _EXECVEAT))
        self._connection.ask(f"QCatchSyscalls:1;{calls}".encode())

    def take(self, reply: StopReply) -> Stop | bool:
        """Deal with a stop: True when the process goes on, False when it is something else, or the end of the run."""
        if reply.kind is not StopKind.STOPPED:
            if reply.process in (None, self.process):
                self._keep_late()
                return False
            self._left(reply.process)
            return True
        reasons, thread = reply.reasons, reply.thread
        if "fork" in reasons:
            self._release(_child(reasons["fork"]))
        elif "vfork" in reasons and thread is not None:
            self._share(_child(reasons["vfork"]), thread)
        elif "exec" in reasons and thread is not None and thread.process is not None:
            if thread.process == self.process:
                return self._executed(reasons["exec"], thread)
            self._connection.ask(b"D;%x" % thread.process)
            self._left(thread.process)
        elif "syscall_entry" in reasons:
            call = number(reasons["syscall_entry"].encode(), what="a system call")
            if call != _EXIT or len(self._threads.ids()) == 1:
                self._keep()
        elif not reasons.keys() & {"vforkdone", "syscall_return", "library", "create"}:
            return False
        return True

    @property
    def leads(self) -> bool:
        """Whether the process leads a process group: others can't be interrupted."""
        return self._stat()[2:3] == [b"%d" % self.process]

    @property
    def is_headless(self) -> bool:
        """Whether its first thread has ended, and others go on."""
        return self._stat()[:1] == [b"Z"]

    def file(self, name: str) -> str:
        """The path of what the kernel tells of the process: by a thread that is there, as the first one may have ended.

        That has nothing any more then, neither memory nor files.
        """
        return f"/proc/{self.process}/task/{self._threads.ids()[0]}/{name}"

    def _stat(self) -> list[bytes]:
        """State, parent, process group and so on (proc(5))."""
        status = read_file(self._connection.exchange, f"/proc/{self.process}/stat") or b""
        return status.rpartition(b")")[2].split()

    def is_alone(self) -> bool:
        """Whether the stub interrupts this process, and no other. It stands still when this is asked first.

        It sends a signal to the process group that the process leads: children are in it, and would be ended.
        """
        if self._alone is None:
            children = (
                read_file(self._connection.exchange, f"/proc/{self.process}/task/{thread}/children")
                for thread in self._threads.ids()
            )
            self._alone = self.leads and all(listed == b"" for listed in children)
        return self._alone

    def before_signal(self, signal: int) -> None:
        """The process is about to get a signal, in GDB's numbering, which may end it."""
        linux, _ = linux_signal(signal)
        if not self._early or not ends_by_default(linux):
            return
        status = ProcessStatus.read(self._connection.exchange, self.process)
        if status is None or not status.handles(linux):
            self._keep()

    def _release(self, child: ThreadId) -> None:
        """Let a child go on by itself, without traps. Its branches lead to the copy of our code that it has."""
        assert child.process is not None
        self._alone = False
        *_, detached = self._connection.exchange(
            [b"Hg" + str(child).encode(), *self._breakpoints.removals(), b"D;%x" % child.process]
        )
        if detached != b"OK":
            raise ProtocolError(f"the stub at {self._connection.name} answers {detached!r} and keeps a child")
        self._threads.come_home()

    def _share(self, child: ThreadId, parent: ThreadId) -> None:
        assert child.process is not None
        self._alone = False
        self._vforked[child.process] = parent
        self._threads.follow(child.process)
        self._threads.held.add(parent)

    def _left(self, process: int | None) -> None:
        """A child of vfork has got memory of its own, or ended."""
        parent = self._vforked.pop(process, None) if process is not None else None
        if process is not None and parent is not None:
            self._threads.unfollow(process)
            self._threads.held.discard(parent)
        self._threads.come_home()

    def _keep_late(self) -> None:
        if not self._early:
            self._keep()

    def _executed(self, path: str, thread: ThreadId) -> Stop:
        """Let go of what the process has become: its probes went with its memory."""
        self._keep_late()
        self._take_stray_stops(thread)
        self._connection.ask(b"D;%x" % self.process)
        name = data_of(path.encode(), what="a path").decode("utf-8", "replace")
        message = f"executed {name}, which goes on without probes"
        self._connection.lose(f"the program behind {self._connection.name} {message}")
        return Stop(StopReason.EXIT, 0, message=message, gone=True)

    def _take_stray_stops(self, thread: ThreadId) -> None:
        """Let the new program execute its first instruction.

        gdbserver may just have stopped the thread that executed it, for a tick of a timer, and that is another thread
        now: of the SIGSTOP that is on its way it knows nothing, and who is let go of before it comes stands still.
        """
        signal = 0
        for _ in range(_MOST_SIGNALS):
            letter = b"S%02x" % signal if signal else b"s"
            self._connection.start(b"vCont;%b:%b" % (letter, str(thread).encode()))
            answer = self._connection.wait(timeout=self._connection.timeout)
            reply = None if answer is None else stop_reply(answer)
            if not isinstance(reply, StopReply) or reply.kind is not StopKind.STOPPED or reply.code == _TRAP:
                return
            signal = 0 if reply.code == _STOP else reply.code


def _child(text: str) -> ThreadId:
    child = thread_id(text.encode())
    if child.process is None:
        raise ProtocolError(f"the stub sent {text!r} where a child should be")
    return child
