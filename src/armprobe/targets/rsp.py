"""The packets of the GDB remote serial protocol: bytes to values and back, without input or output.

Source: the GDB manual, appendix "GDB Remote Serial Protocol". Everything that comes from a stub is checked here;
whatever is wrong with it is a ProtocolError. What XML documents say is in `rspxml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from armprobe.errors import ProtocolError

INTERRUPT = b"\x03"
ACK, NAK = b"+", b"-"
#: what a stub may send in one packet once runs are expanded; QEMU's limit is 4096, gdbserver's 16383
MAX_PACKET = 1 << 20
_ESCAPE, _RUN = 0x7D, 0x2A
_SPECIAL = frozenset(b"#$}*")
#: the count of a run is its byte less 29; the bytes up to 31 do not print
_RUN_BIAS, _RUN_LOWEST, _RUN_HIGHEST = 29, 32, 126
_GARBAGE_SHOWN = 40
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2})*")
_NUMBER = re.compile(rb"[0-9a-fA-F]{1,16}")


def checksum(payload: bytes) -> int:
    return sum(payload) & 0xFF


def frame(payload: bytes) -> bytes:
    """Return the packet that carries `payload`, in which binary data is already escaped."""
    return b"$%b#%02x" % (payload, checksum(payload))


def escape(data: bytes) -> bytes:
    """Return binary data as it stands in a payload."""
    if not _SPECIAL.intersection(data):
        return data
    return b"".join(bytes((_ESCAPE, byte ^ 0x20)) if byte in _SPECIAL else bytes((byte,)) for byte in data)


def expand(body: bytes) -> bytes:
    """Return the payload that stands between `$` and `#`, escapes undone and runs expanded."""
    if _ESCAPE not in body and _RUN not in body:
        return body
    out = bytearray()
    position = 0
    while position < len(body):
        byte = body[position]
        position += 1
        if byte == _ESCAPE:
            if position == len(body):
                raise ProtocolError("the stub sent a packet that ends within an escape", evidence=_shown(body))
            out.append(body[position] ^ 0x20)
            position += 1
        elif byte == _RUN:
            count = body[position] if position < len(body) else 0
            if not out or not _RUN_LOWEST <= count <= _RUN_HIGHEST:
                raise ProtocolError("the stub sent a run that repeats nothing", evidence=_shown(body))
            out += out[-1:] * (count - _RUN_BIAS)
            position += 1
        else:
            out.append(byte)
        if len(out) > MAX_PACKET:
            raise ProtocolError(f"the stub sent a packet of more than {MAX_PACKET} bytes", evidence=_shown(body))
    return bytes(out)


class Kind(Enum):
    """What a stream from a stub consists of."""

    ACK = "+"
    NAK = "-"
    PACKET = "$"
    NOTIFICATION = "%"
    CORRUPT = "a packet that came damaged"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that came from the stub. `payload` belongs to packets and notifications."""

    kind: Kind
    payload: bytes = b""


class Decoder:
    """Cuts the stream from a stub into items, however it was cut on the way. `garbage` is what was no item."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.garbage = b""

    def feed(self, data: bytes) -> Iterator[Item]:
        """Take bytes, and yield the items that are complete."""
        self._data += data
        while self._data:
            first = self._data[0]
            if first in b"+-":
                del self._data[0]
                yield Item(Kind.ACK if first == ACK[0] else Kind.NAK)
            elif first in b"$%":
                end = self._data.find(b"#")
                if end < 0 and len(self._data) > MAX_PACKET:
                    self._data.clear()
                    yield Item(Kind.CORRUPT)
                if end < 0 or len(self._data) < end + 3:
                    return
                body, sent = bytes(self._data[1:end]), bytes(self._data[end + 1 : end + 3])
                del self._data[: end + 3]
                yield self._packet(Kind(chr(first)), body, sent)
            else:
                starts = (self._data.find(start) for start in b"+-$%")
                end = min((start for start in starts if start >= 0), default=len(self._data))
                self.garbage = (self.garbage + self._data[:end])[:_GARBAGE_SHOWN]
                del self._data[:end]

    def _packet(self, kind: Kind, body: bytes, sent: bytes) -> Item:
        # The start of a packet within another: the end of the first one was lost.
        if b"$" in body or not _HEX.fullmatch(sent) or int(sent, 16) != checksum(body):
            return Item(Kind.CORRUPT)
        try:
            return Item(kind, expand(body))
        except ProtocolError:
            return Item(Kind.CORRUPT)


# --- fields of payloads


def number(text: bytes, *, what: str) -> int:
    """Return the hexadecimal number `text`."""
    if not _NUMBER.fullmatch(text):
        raise ProtocolError(f"the stub sent {_shown(text)!r} where {what} should be")
    return int(text, 16)


def data_of(text: bytes, *, what: str) -> bytes:
    """Return the bytes that `text` spells in hexadecimal."""
    if not _HEX.fullmatch(text):
        raise ProtocolError(f"the stub sent {_shown(text)!r} where {what} should be")
    return bytes.fromhex(text.decode())


def error_of(reply: bytes) -> str | None:
    """Return the error that a reply is (`E14`, `E.text`); None when it is none."""
    if reply[:2] == b"E." or (len(reply) == 3 and reply[:1] == b"E" and _HEX.fullmatch(reply[1:])):
        return reply.decode("latin-1")
    return None


@dataclass(frozen=True, slots=True)
class ThreadId:
    """A thread, or a processor: `p01.02` with the extension for several processes, `02` without."""

    thread: int
    process: int | None = None

    def __str__(self) -> str:
        return f"{self.thread:x}" if self.process is None else f"p{self.process:x}.{self.thread:x}"


def thread_id(text: bytes) -> ThreadId:
    """Return the thread that `text` names."""
    if text[:1] != b"p":
        return ThreadId(number(text, what="a thread id"))
    process, dot, thread = text[1:].partition(b".")
    if not dot:
        raise ProtocolError(f"the stub sent {_shown(text)!r} where a thread id should be")
    return ThreadId(number(thread, what="a thread id"), number(process, what="a process id"))


def thread_list(reply: bytes) -> list[ThreadId] | None:
    """Return the threads in a reply to qfThreadInfo or qsThreadInfo; None at the end of the list."""
    if reply == b"l":
        return None
    if reply[:1] != b"m":
        raise ProtocolError(f"the stub sent {_shown(reply)!r} where a list of threads should be")
    return [thread_id(text) for text in reply[1:].split(b",")]


def features(reply: bytes) -> dict[str, str]:
    """Return what qSupported offers: name -> value, "+" for what has none. What the stub says it lacks is left out."""
    found = {}
    for text in reply.decode("latin-1").split(";"):
        if text.endswith("+"):
            found[text[:-1]] = "+"
        elif "=" in text:
            name, _, value = text.partition("=")
            found[name] = value
    return found


class StopKind(Enum):
    """What a stop reply tells."""

    STOPPED = "stopped by a signal"
    EXITED = "the program ended"
    KILLED = "a signal ended the program"


@dataclass(frozen=True, slots=True)
class StopReply:
    """T, S, W or X. `code` is the signal, in GDB's numbering, or the exit code; `process` is the one that ended.

    `registers` are the values of registers by number, `reasons` what else the reply names: `swbreak`, `watch`, ...
    """

    kind: StopKind
    code: int
    thread: ThreadId | None = None
    registers: dict[int, bytes] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    process: int | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """O: text that the program prints while it runs."""

    data: bytes


def stop_reply(reply: bytes) -> StopReply | Output:
    """Return what came from a target that was told to run."""
    letter, rest = reply[:1], reply[1:]
    if letter == b"O" and reply != b"OK":
        return Output(data_of(rest, what="output of the program"))
    if letter in (b"S", b"T"):
        return _stopped(rest)
    if letter in (b"W", b"X"):
        code, _, more = rest.partition(b";")
        kind = StopKind.EXITED if letter == b"W" else StopKind.KILLED
        name, _, process = more.partition(b":")
        which = number(process, what="a process id") if name == b"process" else None
        return StopReply(kind, number(code, what="an exit code"), process=which)
    raise ProtocolError(f"the stub sent {_shown(reply)!r} where it should say why the target stopped")


def _stopped(rest: bytes) -> StopReply:
    thread = None
    registers: dict[int, bytes] = {}
    reasons: dict[str, str] = {}
    for pair in filter(None, rest[2:].split(b";")):
        name, _, value = pair.partition(b":")
        if name == b"thread":
            thread = thread_id(value)
        elif _NUMBER.fullmatch(name):
            registers[int(name, 16)] = data_of(value, what="the value of a register")
        else:
            reasons[name.decode("latin-1")] = value.decode("latin-1")
    return StopReply(StopKind.STOPPED, number(rest[:2], what="a signal"), thread, registers, reasons)


def supported_actions(reply: bytes) -> frozenset[str]:
    """Return the actions that a reply to `vCont?` lists; none when the stub does not know it."""
    name, *actions = reply.decode("latin-1").split(";")
    return frozenset(actions) if name == "vCont" else frozenset()


def object_part(reply: bytes) -> tuple[bytes, bool]:
    """Return a part of an object read by qXfer, and whether it is the last one."""
    if reply[:1] not in (b"m", b"l"):
        raise ProtocolError(f"the stub sent {_shown(reply)!r} where a part of a document should be")
    return reply[1:], reply[:1] == b"l"


def joined(ranges: Sequence[tuple[int, int]], *, gap: int, longest: int) -> list[tuple[int, int]]:
    """Return [start, end) ranges that cover `ranges`, with gaps up to `gap` bytes closed and none above `longest`.

    One packet reads or writes one of them.
    """
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1] + gap and max(end, found[-1][1]) - found[-1][0] <= longest:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found += [(at, min(end, at + longest)) for at in range(start, end, longest)]
    return found


def _shown(data: bytes) -> str:
    text = data[:_GARBAGE_SHOWN].decode("latin-1")
    return text if len(data) <= _GARBAGE_SHOWN else text + "..."
