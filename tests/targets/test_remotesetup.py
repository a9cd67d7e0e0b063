"""Servers of debug probes: the stub answers as they do.

OpenOCD: src/server/gdb_server.c of its version 0.12. J-Link GDB Server: logs of it in the issue 450 of
Marus/cortex-debug, and in "What's in a Breakpoint?" (memfault/interrupt), version 6.80.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest
from tests.targets.contract import BASE, NOP, SELF, Contract, Make
from tests.targets.stub import Stub, packet

from armprobe.errors import TargetFault
from armprobe.targets.base import Target
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget

FLASH = '<memory type="flash" start="0x100000" length="0x10000"><property name="blocksize">0x1000</property></memory>'
#: to OpenOCD, all that is no flash is RAM
OPENOCD_MAP = (
    f'<memory-map><memory type="ram" start="0x0" length="0x100000"/>{FLASH}'
    '<memory type="ram" start="0x00110000" length="0xffef0000"/></memory-map>'
)


class OpenOcd:
    """What OpenOCD does otherwise: reads that fail give zeros unless its user has wished it otherwise from the first,
    long binary writes are acknowledged before they are done, and what comes of them is told with the next one.
    """

    def __init__(self, fake: FakeTarget, *, version: str = "0.12.0") -> None:
        self.fake = fake
        self.version = version

    def answer(self, request: bytes) -> bytes | None:
        if request.startswith(b"qRcmd,"):
            return b"".join(map(packet, self._command(bytes.fromhex(request[6:].decode()).decode())))
        if request[:1] == b"m":
            address, size = (int(text, 16) for text in request[1:].split(b","))
            if not self._can_read(address, size):
                return packet(b"00" * size)
        if request[:1] == b"X":
            return packet(b"OK")  # and nothing is written: what a failure looks like at first
        return None

    def _can_read(self, address: int, size: int) -> bool:
        try:
            self.fake.read_memory(address, size)
        except TargetFault:
            return False
        return True

    def _command(self, command: str) -> list[bytes]:
        if command == "version":
            return [f"Open On-Chip Debugger {self.version}\n".encode().hex().encode()]
        shown = re.fullmatch(r"catch \{md([wb]) (0x[0-9a-f]+) ([0-9]+)\}", command)
        if shown is not None:
            size = int(shown[3]) * (4 if shown[1] == "w" else 1)
            return [b"0\n".hex().encode() if self._can_read(int(shown[2], 16), size) else b"1\n".hex().encode()]
        return [b"O" + f'invalid command name "{command.split(maxsplit=1)[0]}"\n'.encode().hex().encode(), b"E01"]


def openocd(fake: FakeTarget, *, flash: bool = False, **options: str) -> Stub:
    known = "+" if flash else "-"
    return Stub(
        fake,
        offers=f"qXfer:memory-map:read{known};qXfer:features:read+;qXfer:threads:read+;QStartNoAckMode+",
        packet_size=0x4000,
        binary=True,
        memory_map=OPENOCD_MAP,
        hit=b"T05",
        threads=b"l",
        answer=OpenOcd(fake, **options).answer,
    )


def jlink(fake: FakeTarget) -> Stub:
    return Stub(
        fake,
        offers="qXfer:memory-map:read-;QStartNoAckMode+;hwbreak+;qXfer:features:read+",
        packet_size=0x4000,
        hit=b"T05hwbreak:;thread:0000DEAD;",
        threads=b"m0000dead",
        resumes=False,
    )


def targets(stub: Callable[[FakeTarget], Stub]) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(words: Sequence[int]) -> Target:
            fake = FakeTarget(words, base=BASE)
            target = GdbRemoteTarget.connect(stack.enter_context(stub(fake)).address, memory=fake.regions, timeout=2)
            stack.callback(target.detach)
            return target

        yield make


class TestOpenOcd(Contract):
    unmapped = "the stub sends zeros for what it can't read"

    @pytest.fixture
    def make(self) -> Iterator[Make]:
        yield from targets(openocd)


class TestJLink(Contract):
    unmapped = "the stub answers E14"

    @pytest.fixture
    def make(self) -> Iterator[Make]:
        yield from targets(jlink)


def test_zeros_of_openocd_are_told_from_memory_that_cannot_be_read():
    fake = FakeTarget([NOP, SELF], base=BASE)
    with openocd(fake) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        assert target.read_memory(BASE + 0x103, 0x201) == bytes(0x201)
        assert target.read_memory(BASE, 8) == NOP.to_bytes(4, "little") + SELF.to_bytes(4, "little")
        message = r"^cannot read 4 bytes at 0x00700000: the stub sends zeros for what it can't read$"
        with pytest.raises(TargetFault, match=message):
            target.read_memory(0x700000, 4)
        target.detach()


def test_what_openocd_writes_is_written_when_it_says_so():
    fake = FakeTarget([NOP, SELF], base=BASE)
    with openocd(fake) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        target.write_memory(BASE + 0x100, bytes(range(64)))
        assert fake.read_memory(BASE + 0x100, 64) == bytes(range(64))
        with pytest.raises(TargetFault, match=r"^cannot write 64 bytes at 0x00700000: the stub answers E14$"):
            target.write_memory(0x700000, bytes(64))
        target.detach()


def test_handlers_read_nothing_of_what_openocd_takes_for_ram():
    with openocd(FakeTarget([NOP, SELF], base=BASE), flash=True) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        assert [(region.name, region.readable, region.writable) for region in target.regions] == [
            ("ram", False, True),
            ("flash", True, False),
            ("ram", False, True),
        ]
        target.detach()


def test_other_servers_get_no_commands():
    with jlink(FakeTarget([NOP, SELF], base=BASE)) as stub:
        GdbRemoteTarget.connect(stub.address).detach()
        assert not [request for request in stub.requests if request.startswith(b"qRcmd")]


def test_an_unknown_server_with_the_features_of_openocd_is_asked_once():
    fake = FakeTarget([NOP, SELF], base=BASE)
    with Stub(fake, offers="qXfer:features:read+;qXfer:threads:read+", answer=lambda _: None) as stub:
        GdbRemoteTarget.connect(stub.address).detach()
        asked = [request for request in stub.requests if request.startswith(b"qRcmd")]
        assert asked == [b"qRcmd," + b"version".hex().encode()]
