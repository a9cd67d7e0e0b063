"""A GDB stub in a thread of this process, in front of a fake target; it can be told to misbehave."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from armprobe.errors import ArmprobeError
from armprobe.targets.fake import FakeTarget

#: what `Stub.answer` returns to close the connection
HANG_UP = b"hang up"
CORE = "".join(f'<reg name="{name}" bitsize="32"/>' for name in [*(f"r{n}" for n in range(13)), "sp", "lr", "pc"])
TARGET_XML = (
    f"<target><architecture>arm</architecture><feature>{CORE}"
    '<reg name="cpsr" bitsize="32" regnum="25"/></feature></target>'
)
_UNIT = re.compile(rb"[+\-\x03]|\$([^#]*)#([0-9a-f]{2})", re.DOTALL)


def packet(payload: bytes) -> bytes:
    return b"$" + payload + b"#%02x" % (sum(payload) % 256)


class Stub:
    """Serves one connection after another. `requests` is what came, without frames and acknowledgements.

    `hit` is what it says at a breakpoint, `threads` its list of them. Without `resumes` it knows no vCont.
    `answer(request)` may return raw bytes to send instead of the proper reply, HANG_UP, or None for the proper reply.
    `flash` is a range where writes are accepted and do nothing. `offers` are more features for qSupported.
    """

    def __init__(
        self,
        target: FakeTarget,
        *,
        offers: str = "QStartNoAckMode+;qXfer:features:read+",
        packet_size: int = 0x400,
        binary: bool = False,
        breakpoints: tuple[bytes, ...] = (b"0", b"1"),
        flash: range = range(0),
        memory_map: str = "",
        hit: bytes = b"T05thread:1;",
        threads: bytes = b"m1",
        resumes: bool = True,
        answer: Callable[[bytes], bytes | None] = lambda _: None,
    ) -> None:
        self.target = target
        self.requests: list[bytes] = []
        self.breakpoints: set[int] = set()
        self.answer = answer
        #: sent when the client asks for a stop of a target that does not run
        self.interrupted = b""
        self._offers = f"PacketSize={packet_size:x};{'vContSupported+;' if resumes else ''}{offers}"
        self._hit = hit
        self._threads = threads
        self._resumes = resumes
        self._packet_size = packet_size
        self._cpsr = 64 if "qXfer:features:read+" in offers else 164
        self._binary = binary
        self._kinds = breakpoints
        self._flash = flash
        self._documents = {"features:read:target.xml": TARGET_XML, "memory-map:read:": memory_map}
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._stream: socket.socket | None = None
        self._acknowledges = True

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            with suppress(OSError):  # a client may still be there, when a test failed
                self._stream.shutdown(socket.SHUT_RDWR)
        with socket.socket() as last:  # wakes the thread where it waits for somebody to come
            last.connect(self._server.getsockname())
            self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                self._stream, _ = self._server.accept()
            except OSError:
                return
            self._acknowledges = True
            self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._stream:
                if not self._talk():
                    return

    def _talk(self) -> bool:
        """Serve a connection up to its end; False if nothing ever came."""
        data, came = b"", False
        while True:
            try:
                more = self._stream.recv(1 << 16)
            except OSError:
                return True
            if not more:
                return came
            came = True
            data += more
            while (unit := _UNIT.match(data)) is not None:
                data = data[unit.end() :]
                if unit[0] == b"\x03":
                    self._stream.sendall(self.interrupted)
                if unit[1] is not None and not self._handle(unit[1], unit[2]):
                    return True

    def _handle(self, request: bytes, checksum: bytes) -> bool:
        assert int(checksum, 16) == sum(request) % 256
        assert len(request) + 4 <= self._packet_size, "a packet is longer than this stub takes"
        self.requests.append(request)
        raw = self.answer(request)
        if raw == HANG_UP:
            return False
        if raw is None:
            acknowledgement = b"+" if self._acknowledges else b""
            self._stream.sendall(acknowledgement)
            raw = packet(self._reply(request))
        self._stream.sendall(raw)
        return True

    def _reply(self, request: bytes) -> bytes:
        name, _, rest = request.partition(b":")
        match request[:1]:
            case b"q" | b"Q":
                return self._query(request)
            case b"?":
                return self._hit
            case b"g":
                return self._registers().hex().encode()
            case b"p":
                return self._registers()[self._place(request[1:]) :][:4].hex().encode()
            case b"P" | b"G":
                return self._set_registers(request)
            case b"m":
                address, size = (int(text, 16) for text in request[1:].split(b","))
                try:
                    return self.target.read_memory(address, size).hex().encode()
                except ArmprobeError:
                    return b"E14"
            case b"M":
                address, size = (int(text, 16) for text in name[1:].split(b","))
                return self._write(address, bytes.fromhex(rest.decode()), size)
            case b"X" if self._binary:
                address, size = (int(text, 16) for text in name[1:].split(b","))
                data = re.sub(rb"\}(.)", lambda escaped: bytes([escaped[1][0] ^ 32]), rest, flags=re.DOTALL)
                return self._write(address, data, size)
            case b"Z" | b"z":
                return self._breakpoint(request)
            case b"v" if self._resumes:
                return self._run(request)
            case b"c" | b"s" if not self._resumes:
                return self._run(b"vCont;" + request)
            case b"H" | b"D":
                return b"OK"
        return b""

    def _query(self, request: bytes) -> bytes:
        if request == b"QStartNoAckMode":
            self._stream.sendall(b"+")
            self._acknowledges = False
            return b"OK"
        if request.startswith(b"qSupported"):
            return self._offers.encode()
        if request == b"qfThreadInfo":
            return self._threads
        if request == b"qsThreadInfo":
            return b"l"
        if request.startswith(b"qXfer:"):
            document, _, span = request.decode().removeprefix("qXfer:").rpartition(":")
            offset, length = (int(text, 16) for text in span.split(","))
            part = self._documents[document][offset : offset + length].encode()
            return (b"m" if offset + length < len(self._documents[document]) else b"l") + part
        return b""

    def _registers(self) -> bytes:
        registers = self.target.read_registers()
        values = b"".join(value.to_bytes(4, "little") for value in registers.values)
        # Without a description, the registers of a floating-point unit of old stand before cpsr.
        return values + bytes(self._cpsr - 64) + registers.cpsr.to_bytes(4, "little")

    def _place(self, number: bytes) -> int:
        """Where a register is in the block of `g`."""
        return self._cpsr if number == b"19" else 4 * int(number, 16)

    def _set_registers(self, request: bytes) -> bytes:
        block = bytearray(self._registers())
        if request[:1] == b"G":
            block[:] = bytes.fromhex(request[1:].decode())
        else:
            number, _, value = request[1:].partition(b"=")
            at = self._place(number)
            block[at : at + 4] = bytes.fromhex(value.decode())
        words = memoryview(block).cast("I")
        registers = self.target.read_registers()
        registers.values[:] = words[:16]
        registers.cpsr = words[self._cpsr // 4]
        self.target.write_registers(registers)
        return b"OK"

    def _write(self, address: int, data: bytes, size: int) -> bytes:
        assert len(data) == size
        if address in self._flash:
            return b"OK"
        try:
            self.target.write_memory(address, data)
        except ArmprobeError:
            return b"E14"
        self.target.synchronize([(address, address + size)])
        return b"OK"

    def _breakpoint(self, request: bytes) -> bytes:
        kind, address = request[1:2], int(request.split(b",")[1], 16)
        if kind not in self._kinds:
            return b""
        if request[:1] == b"Z" and kind == b"0" and address in self._flash:
            return b"E01"
        (self.breakpoints.add if request[:1] == b"Z" else self.breakpoints.discard)(address)
        return b"OK"

    def _run(self, request: bytes) -> bytes:
        if request == b"vCont?":
            return b"vCont;c;C;s;S"
        if not request.startswith(b"vCont;"):
            return b""
        if request.startswith(b"vCont;s"):
            self.target.run(lambda _: False, limit=1)
            return self._hit
        while self.target.read_registers().pc not in self.breakpoints:
            if select.select([self._stream], [], [], 0)[0] and self._stream.recv(1, socket.MSG_PEEK) in (b"\x03", b""):
                return b"T02thread:1;"
            self.target.run(lambda _: False, limit=16 if not self.breakpoints else 1)
        return self._hit
