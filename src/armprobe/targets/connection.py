"""A connection to a GDB remote stub: requests and replies over a socket.

Requests that do not depend on each other travel together: a *flight* costs one round trip, however many packets it
has. Where packets are acknowledged, each but the last of a flight is followed by the `+` for its reply; a stub reads
them in order and finds the acknowledgement where it expects it (tried with QEMU 7.2). A request that the stub could
not read, or whose reply came damaged, is sent once more after the flight: those that travel together are such that
this does no harm.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from armprobe.errors import ProtocolError, TargetLost, UsageError
from armprobe.targets.interrupt import hold_interrupt
from armprobe.targets.rsp import ACK, INTERRUPT, NAK, Decoder, Item, Kind, frame

DEFAULT_HOST = "127.0.0.1"
#: seconds a stub has for an answer; a slow debug probe that reads memory takes most of one
TIMEOUT = 5.0
_TRIES = 3
#: seconds in which a stub answers that listens
_MOMENT = 1.0
#: seconds that a stub has for the second of two requests that came together
_PATIENCE = 0.5
#: a flight fits into the buffers of both sides, so that neither waits for the other
_FLIGHT_PACKETS = 512
_FLIGHT_BYTES = 0x8000
_ADDRESS = re.compile(r"(?:(?P<host>[^:\[\]]*)|\[(?P<host6>[0-9a-fA-F:.]+)\]):(?P<port>[0-9]{1,5})")


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, `[IPV6]:PORT` or `:PORT`, which is this computer. Raises UsageError."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not 0 < int(match["port"]) < 1 << 16:
        raise UsageError(f"wanted HOST:PORT of a GDB stub, got {text!r}", hint="for example :1234 or 127.0.0.1:3333")
    return match["host"] or match["host6"] or DEFAULT_HOST, int(match["port"])


class Connection:
    """One connection. `round_trips` and `packets` count what was sent to the stub."""

    def __init__(
        self, stream: socket.socket, *, name: str, timeout: float = TIMEOUT, pipelines: bool | None = None
    ) -> None:
        """Talk over a connected `stream`; `name` is the stub's address, for messages.

        `pipelines`: whether the stub reads a second packet that comes along with the first; None: it is to be tried.
        """
        self.name = name
        self.round_trips = self.packets = 0
        #: whether packets are acknowledged; the stub and the client agree on an end of that
        self.acknowledges = True
        #: whether the stub reads a second packet that comes along with the first
        self.pipelines = pipelines is True
        self._tried = pipelines is not None
        stream.setblocking(False)
        #: seconds that the stub has for an answer
        self.timeout = timeout
        #: called once, before the next request: the target runs, and has to be stopped first
        self.before: Callable[[], object] | None = None
        self._stream = stream
        self._decoder = Decoder()
        self._items: deque[Item] = deque()
        self._lost: TargetLost | None = None
        #: whether the other side ended the connection
        self.hung_up = False

    @classmethod
    def open(cls, address: str, *, timeout: float = TIMEOUT) -> Self:
        """Connect to the stub at `HOST:PORT`. Raises UsageError for no address, TargetLost when nobody listens."""
        host, port = parse_address(address)
        try:
            stream = socket.create_connection((host, port), timeout=timeout)
        except OSError as error:
            raise TargetLost(
                f"no GDB stub answers at {host}:{port}: {error.strerror or error}",
                hint="start it first, for example `qemu-system-arm -S -gdb tcp:127.0.0.1:1234 ...`, or OpenOCD",
            ) from None
        with suppress(OSError):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(stream, name=f"{host}:{port}", timeout=timeout)

    @property
    def file(self) -> int:
        """The file by which packets come."""
        return self._stream.fileno()

    def hang_up(self) -> None:
        """Send nothing any more: the stub sees the end of the connection, and we what it does then."""
        self._stream.shutdown(socket.SHUT_WR)

    @property
    def has_more(self) -> bool:
        """Whether something has come that nobody has taken yet."""
        return bool(self._items)

    def close(self) -> None:
        self._lost = self._lost or TargetLost(f"the connection to {self.name} is closed", hint="attach again")
        self._stream.close()

    def ask(self, payload: bytes) -> bytes:
        """Send one request and return the reply. Raises TargetLost, ProtocolError."""
        return self.exchange([payload])[0]

    def exchange(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Send requests that do not depend on each other, in flights; return the replies in the same order.

        Ctrl-C waits meanwhile: a reply that nobody reads would answer the next request.
        """
        if payloads:
            self._stop_first()
        replies: dict[int, bytes] = {}
        with hold_interrupt(None):
            for _ in range(_TRIES):
                missing = [index for index in range(len(payloads)) if index not in replies]
                for flight in self._flights(payloads, missing):
                    self._fly(payloads, flight, replies)
                if len(replies) == len(payloads):
                    return [replies[index] for index in range(len(payloads))]
        failed = next(payload for index, payload in enumerate(payloads) if index not in replies)
        raise ProtocolError(f"the stub at {self.name} did not take {failed[:40]!r}, which was sent {_TRIES} times")

    def start(self, payload: bytes, *, first: Sequence[bytes] = ()) -> list[bytes]:
        """Send the requests `first`, then `payload`, which lets the target run; return the replies to `first`.

        What the target tells when it stops is fetched by `wait`.
        """
        self._stop_first()
        with hold_interrupt(None):
            return self._start(payload, first)

    def _start(self, payload: bytes, first: Sequence[bytes]) -> list[bytes]:
        if not self.pipelines:
            replies = self.exchange(first)
            self._send([payload])
        else:
            self._send([*first, payload])
            try:
                replies = [self._reply(acknowledge=False) for _ in first]
            except _Unread as error:
                # What came behind may have started the target: nobody knows in which state it runs.
                raise self.lose(f"{error}, and may run now") from None
        self._await_acknowledgement(payload)
        return replies

    def wait(self, *, timeout: float) -> bytes | None:
        """Return the next packet that a running target sends; None when none came within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            if not self._items and self._lost is None:
                self._ready(select.POLLIN, deadline)  # here Ctrl-C does not wait
            with hold_interrupt(None):
                item = self._next_packet(0)
                while item is not None and item.kind is Kind.CORRUPT:
                    self._write(NAK)
                    item = self._next_packet(self.timeout)
                if item is not None:
                    if self.acknowledges:
                        self._write(ACK)
                    return item.payload
            if time.monotonic() >= deadline:
                return None  # what came until now was no whole packet

    def await_stub(self, request: bytes, silent: Callable[[], bool]) -> None:
        """Wait until the stub listens, by a request that does nothing.

        If that is not at once, `silent` decides whether there is no limit; Ctrl-C ends it. Raises TargetLost.
        """
        self._send([request])
        if self._next_packet(_MOMENT) is None and self._next_packet(None if silent() else self.timeout) is None:
            raise self._silent()
        if self.acknowledges:
            self._write(ACK)

    def interrupt(self) -> None:
        """Ask a running target to stop; may be called from a signal handler or another thread."""
        self._write(INTERRUPT)

    def try_pipelining(self, first: bytes, second: bytes) -> bytes:
        """Find out whether requests may travel together, by two that do nothing; return the reply to the second."""
        if self._tried:
            return self.exchange([first, second])[1]
        self._send([first, second])
        self._reply(acknowledge=False)
        item = self._next_packet(min(_PATIENCE, self.timeout))
        self.pipelines = item is not None and item.kind is Kind.PACKET
        if item is None:
            # QEMU's user-mode stub has read both, but waits for the acknowledgement to come by itself.
            if self.acknowledges:
                self._write(ACK)
            item = self._next_packet(self.timeout)
        if item is None or item.kind is not Kind.PACKET:
            return self.ask(second)
        if self.acknowledges:
            self._write(ACK)
        return item.payload

    def _stop_first(self) -> None:
        if self.before is not None:
            before, self.before = self.before, None
            before()

    # --- flights

    def _flights(self, payloads: Sequence[bytes], indices: Sequence[int]) -> list[list[int]]:
        flights: list[list[int]] = []
        size = 0
        for index in indices:
            size += len(payloads[index]) + 5
            if not flights or not self.pipelines or len(flights[-1]) == _FLIGHT_PACKETS or size > _FLIGHT_BYTES:
                flights.append([])
                size = len(payloads[index]) + 5
            flights[-1].append(index)
        return flights

    def _fly(self, payloads: Sequence[bytes], flight: Sequence[int], replies: dict[int, bytes]) -> None:
        self._send([payloads[index] for index in flight])
        for index in flight:
            with suppress(_Unread):
                replies[index] = self._reply(acknowledge=index == flight[-1])

    def _send(self, payloads: Sequence[bytes]) -> None:
        separator = ACK if self.acknowledges else b""
        self.round_trips += 1
        self.packets += len(payloads)
        self._write(separator.join(map(frame, payloads)))

    def _reply(self, *, acknowledge: bool) -> bytes:
        """The next reply. Raises _Unread when the stub could not read the request, or we could not read the reply."""
        item = self._next_packet(self.timeout, rejected=True)
        if item is None:
            raise self._silent()
        if self.acknowledges and acknowledge:
            # A reply that came damaged counts as taken: its request is sent again.
            self._write(ACK)
        if item.kind is Kind.CORRUPT:
            raise _Unread(f"the stub at {self.name} sent a damaged reply")
        return item.payload

    def _next_packet(self, timeout: float | None, *, rejected: bool = False) -> Item | None:
        """The next packet, damaged or not; None after `timeout` seconds. With `rejected`, _Unread when a NAK comes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._items or self._receive(deadline):
            if not self._items:
                continue
            item = self._items.popleft()
            if item.kind in (Kind.PACKET, Kind.CORRUPT):
                return item
            if item.kind is Kind.NAK and rejected and self.acknowledges:
                raise _Unread(f"the stub at {self.name} could not read a request")
        return None

    def _await_acknowledgement(self, payload: bytes) -> None:
        """See to it that the stub took `payload`, whose reply may come much later."""
        if not self.acknowledges:
            return
        deadline = time.monotonic() + self.timeout
        for _ in range(_TRIES):
            while not self._items:
                if not self._receive(deadline):
                    raise self._silent()
            if self._items[0].kind not in (Kind.ACK, Kind.NAK):
                return
            if self._items.popleft().kind is Kind.ACK:
                return
            self._send([payload])
        raise self.lose(f"the stub at {self.name} did not take {payload!r}, which was sent {_TRIES} times")

    # --- bytes: the socket does not block, so that a signal handler or another thread may write while we wait

    def _receive(self, deadline: float | None) -> bool:
        """Take what came; False when nothing came up to the deadline."""
        if self._lost is not None:
            raise self._lost
        try:
            if not self._ready(select.POLLIN, deadline):
                return False
            data = self._stream.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError as error:
            raise self._broken(error) from error
        if not data:
            self.hung_up = True
            raise self.lose(f"the stub at {self.name} closed the connection")
        self._items.extend(self._decoder.feed(data))
        return True

    def _write(self, data: bytes) -> None:
        if self._lost is not None:
            raise self._lost
        deadline = time.monotonic() + self.timeout
        view = memoryview(data)
        try:
            while view:
                if not self._ready(select.POLLOUT, deadline):
                    raise self._silent()
                with suppress(BlockingIOError):
                    view = view[self._stream.send(view) :]
        except OSError as error:
            raise self._broken(error) from error

    def _ready(self, event: int, deadline: float | None) -> bool:
        poll = select.poll()
        poll.register(self._stream, event)
        return bool(poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000))

    def _silent(self) -> TargetLost:
        garbage = self._decoder.garbage
        return self.lose(
            f"the stub at {self.name} does not answer" + (f"; it sent {garbage!r}" if garbage else ""),
            hint="is a GDB stub there, and does no other debugger hold it?",
        )

    def _broken(self, error: OSError) -> TargetLost:
        self.hung_up = True
        return self.lose(f"the connection to the stub at {self.name} broke: {error.strerror or error}")

    @property
    def alive(self) -> bool:
        return self._lost is None

    def lose(self, message: str, *, hint: str = "start the target again, and attach") -> TargetLost:
        """Give the connection up, as what comes late would answer another request; return what all calls raise now."""
        self._lost = TargetLost(message, hint=hint)
        return self._lost


class _Unread(ProtocolError):
    """A request or its reply came damaged."""
