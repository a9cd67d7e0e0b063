"""Files of the system where a stub runs: gdbserver opens them for its client, who reads and writes them.

Source: the GDB manual, "File-I/O Remote Protocol Extension" (vFile packets).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from armprobe.errors import ProtocolError, TargetError
from armprobe.targets.rsp import number

Exchange = Callable[[Sequence[bytes]], list[bytes]]

#: so much of a file is asked for at once; the stub may send less, as its packets are limited
_PART = 0x4000
#: and so many parts together, of a file whose end is not near
_PARTS = 32
READ_ONLY, READ_WRITE = 0, 2
#: more than any program or library that is probed
LONGEST = 1 << 28


class RemoteFile:
    """A file that the stub holds open, under a `number` of its own, until `close`, or its own end."""

    def __init__(self, exchange: Exchange, number: int) -> None:
        """`exchange` sends requests and returns the replies, and `number` is what the stub calls the file."""
        self.number = number
        self._exchange = exchange

    @classmethod
    def open(cls, exchange: Exchange, path: str, flags: int = READ_ONLY) -> Self | None:
        """Have the stub open a file; None when it can't be, or the stub opens no files."""
        name = path.encode("utf-8", "surrogateescape").hex().encode()
        (reply,) = exchange([b"vFile:open:%b,%x,0" % (name, flags)])
        opened, _ = _result(reply)
        return None if opened is None else cls(exchange, opened)

    def read_parts(self, offset: int, count: int) -> Iterator[bytes | None]:
        """The next parts of the file, each shorter than asked for at its end, or when the stub likes.

        None when it can't be read.
        """
        for reply in self._exchange([self._reading(_PART, offset + _PART * part) for part in range(count)]):
            yield self._content(reply)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (offset, size) ranges, for the price of few requests. Raises TargetError for what the file has not."""
        contents = [bytearray(size) for _, size in ranges]
        wanted = [
            (index, at, min(_PART, size - at)) for index, (_, size) in enumerate(ranges) for at in range(0, size, _PART)
        ]
        while wanted:
            replies = self._exchange([self._reading(size, ranges[index][0] + at) for index, at, size in wanted])
            rest = []
            for (index, at, size), reply in zip(wanted, replies, strict=True):
                content = self._content(reply)
                if not content:
                    raise TargetError(f"{size} bytes at {ranges[index][0] + at} of a file that a stub holds are gone")
                contents[index][at : at + len(content)] = content
                if len(content) < size:
                    rest.append((index, at + len(content), size - len(content)))
            wanted = rest
        return [bytes(content) for content in contents]

    def close(self) -> None:
        self._exchange([b"vFile:close:%x" % self.number])

    def _reading(self, size: int, offset: int) -> bytes:
        return b"vFile:pread:%x,%x,%x" % (self.number, size, offset)

    @staticmethod
    def _content(reply: bytes) -> bytes | None:
        size, data = _result(reply)
        if size is not None and size != len(data):
            raise ProtocolError(f"the stub sent {len(data)} bytes of a file, and says that they are {size}")
        return None if size is None else data


def read_file(exchange: Exchange, path: str) -> bytes | None:
    """Return the content of a file; None when it can't be opened or read, or the stub opens no files.

    Raises ProtocolError and what `exchange` raises.
    """
    file = RemoteFile.open(exchange, path)
    if file is None:
        return None
    content, parts = bytearray(), 1
    try:
        while len(content) < LONGEST:
            for part in file.read_parts(len(content), parts):
                if not part:
                    return None if part is None else bytes(content)
                content += part
                if len(part) < _PART:
                    break  # those behind it are not asked for at their place
            parts = min(2 * parts, _PARTS)
    finally:
        file.close()
    return None


def _result(reply: bytes) -> tuple[int | None, bytes]:
    """The number in a reply, None for a failure, and the data after it."""
    head, _, data = reply.partition(b";")
    if head[:1] != b"F" or head[1:2] == b"-":
        return None, b""
    return number(head[1:].partition(b",")[0], what="the result of a file operation"), data
