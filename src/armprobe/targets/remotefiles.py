"""Files of the system where a stub runs: gdbserver reads them for its client.

Source: the GDB manual, "File-I/O Remote Protocol Extension" (vFile packets).
"""

from __future__ import annotations

from collections.abc import Callable

from armprobe.errors import ProtocolError
from armprobe.targets.rsp import number

#: so much of a file is asked for at once; the stub may send less, as its packets are limited
_PART = 0x2000
_READ_ONLY = 0
#: more than any program or library that is probed
LONGEST = 1 << 28


def read_file(ask: Callable[[bytes], bytes], path: str) -> bytes | None:
    """Return the content of a file; None when it can't be opened or read, or the stub reads no files.

    `ask` sends a request and returns the reply. Raises ProtocolError and what `ask` raises.
    """
    file, _ = _result(ask(b"vFile:open:%b,%x,0" % (path.encode("utf-8", "surrogateescape").hex().encode(), _READ_ONLY)))
    if file is None:
        return None
    content = bytearray()
    try:
        while len(content) < LONGEST:
            size, data = _result(ask(b"vFile:pread:%x,%x,%x" % (file, _PART, len(content))))
            if size is None:
                return None
            if size != len(data):
                raise ProtocolError(f"the stub sent {len(data)} bytes of {path!r}, and says that they are {size}")
            if not size:
                return bytes(content)
            content += data
    finally:
        ask(b"vFile:close:%x" % file)
    return None


def _result(reply: bytes) -> tuple[int | None, bytes]:
    """The number in a reply, None for a failure, and the data after it."""
    head, _, data = reply.partition(b";")
    if head[:1] != b"F" or head[1:2] == b"-":
        return None, b""
    return number(head[1:].partition(b",")[0], what="the result of a file operation"), data
