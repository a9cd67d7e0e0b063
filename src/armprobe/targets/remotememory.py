"""Memory of a target behind a GDB stub, in as few packets and round trips as the stub allows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from armprobe.errors import ProtocolError, TargetFault
from armprobe.targets.connection import Connection
from armprobe.targets.rsp import data_of, error_of, escape, joined

#: around the data of a packet: `$Maaaaaaaa,llll:` and `#ss`
_FRAME = 24


class RemoteMemory:
    """Reads and writes through `connection`; `packet_size` is what the stub takes, and sends, at most."""

    def __init__(
        self,
        connection: Connection,
        *,
        packet_size: int,
        binary_read: bool = False,
        binary_write: bool = False,
        can_read: Callable[[int, int], bool] | None = None,
    ) -> None:
        """`can_read(address, size)` is asked where zeros came, for a stub that sends them for what it can't read."""
        self._connection = connection
        self._can_read = can_read
        self._binary_read = binary_read
        self._binary_write = binary_write
        room = max(packet_size - _FRAME, 8)
        # Bytes that must be escaped take two, in the worst case all of them, as hexadecimal digits do.
        self._chunk = room // 2 & ~3

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Read (address, size) ranges. Raises TargetFault for the first that can't be read."""
        spans = joined([(address, address + size) for address, size in ranges], gap=0, longest=self._chunk)
        blocks: list[tuple[int, bytearray]] = []
        for (start, end), reply in zip(spans, self._ask(spans), strict=True):
            data = self._data(reply, start)
            if data is None or len(data) != end - start:
                continue
            if blocks and blocks[-1][0] + len(blocks[-1][1]) == start:
                blocks[-1][1].extend(data)
            else:
                blocks.append((start, bytearray(data)))
        return [self._take(blocks, address, size) for address, size in ranges]

    def write_many(self, writes: Sequence[tuple[int, bytes]]) -> None:
        """Write (address, data) pairs that do not overlap. Raises TargetFault; what the stub took until then stays."""
        contents: list[tuple[int, bytearray]] = []
        for address, data in sorted(writes, key=lambda write: write[0]):
            if contents and contents[-1][0] + len(contents[-1][1]) == address:
                contents[-1][1].extend(data)
            else:
                contents.append((address, bytearray(data)))
        parts = [
            (address + offset, bytes(data[offset : offset + self._chunk]))
            for address, data in contents
            for offset in range(0, len(data), self._chunk)
        ]
        replies = self._connection.exchange([self._write_request(address, data) for address, data in parts])
        for (start, part), reply in zip(parts, replies, strict=True):
            if reply != b"OK":
                address, data = next(
                    (address, data)
                    for address, data in writes
                    if address < start + len(part) and start < address + len(data)
                )
                raise _fault("write", address, len(data), reply)

    def _take(self, blocks: Sequence[tuple[int, bytearray]], address: int, size: int) -> bytes:
        index = bisect_right(blocks, address, key=lambda block: block[0]) - 1
        if index >= 0:
            start, data = blocks[index]
            if address + size <= start + len(data):
                return bytes(data[address - start : address - start + size])
        return self._read_exactly(address, size)

    def _read_exactly(self, address: int, size: int) -> bytes:
        """Read a range by itself: one that is long, or whose neighbour can't be read."""
        data = bytearray()
        while len(data) < size:
            spans = joined([(address + len(data), address + size)], gap=0, longest=self._chunk)
            for (start, end), reply in zip(spans, self._ask(spans), strict=True):
                part = self._data(reply, start)
                if part is None and error_of(reply) is None and reply:
                    raise TargetFault(
                        f"cannot read {size} bytes at 0x{address:08x}: the stub sends zeros for what it can't read",
                        address=address,
                        size=size,
                    )
                if not part:
                    raise _fault("read", address, size, reply)
                data += part
                if len(part) < end - start:
                    break  # a stub may send less than was asked for
        return bytes(data[:size])

    def _ask(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        letter = b"x" if self._binary_read else b"m"
        return self._connection.exchange([b"%b%x,%x" % (letter, start, end - start) for start, end in spans])

    def _write_request(self, address: int, data: bytes) -> bytes:
        if self._binary_write:
            return b"X%x,%x:%b" % (address, len(data), escape(data))
        return b"M%x,%x:%b" % (address, len(data), data.hex().encode())

    def _data(self, reply: bytes, address: int) -> bytes | None:
        """The memory in a reply; None when it is an error, or stands for one."""
        if self._binary_read:
            return reply[1:] if reply[:1] == b"b" else None
        if error_of(reply) is not None or not reply:
            return None
        data = data_of(reply, what="memory")
        if self._can_read is not None and not any(data) and not self._can_read(address, len(data)):
            return None
        return data


def _fault(access: str, address: int, size: int, reply: bytes) -> TargetFault:
    error = error_of(reply)
    if error is None:
        raise ProtocolError(f"the stub sent {reply[:40]!r} where it should {access} memory")
    return TargetFault(
        f"cannot {access} {size} bytes at 0x{address:08x}: the stub answers {error}", address=address, size=size
    )
