"""The contract of targets, held against each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.targets.contract import BASE, SELF, Contract, EmulatorContract, Make
from tests.targets.qemu_board import RAM, Board, board, raw
from tests.targets.stub import Stub

from armprobe.symbols import Image
from armprobe.targets.base import Target
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.unicorn import UnicornTarget

SUPERVISOR = 0x1D3  # interrupts masked
PAGE = 4096


class TestFake(EmulatorContract):
    @pytest.fixture
    def make(self):
        return lambda words: FakeTarget(words, base=BASE)


class TestUnicorn(EmulatorContract):
    @pytest.fixture(params=["cortex-a15", "arm926"])
    def make(self, request):
        def make(words: Sequence[int]) -> Target:
            return UnicornTarget.from_image(Image.from_words(words or [0], base=BASE), cpu=request.param)

        return make


class TestStub(Contract):
    """A stub as such, with and without acknowledgements and binary packets."""

    unmapped = "the stub answers E14"

    @pytest.fixture(params=["plain", "binary", "acknowledged"])
    def make(self, request) -> Iterator[Make]:
        offers = "" if request.param == "acknowledged" else "QStartNoAckMode+;qXfer:features:read+"
        with ExitStack() as stack:

            def make(words: Sequence[int]) -> Target:
                fake = FakeTarget(words, base=BASE)
                stub = stack.enter_context(Stub(fake, offers=offers, binary=request.param == "binary"))
                target = GdbRemoteTarget.connect(stub.address, memory=fake.regions, timeout=2)
                stack.callback(target.detach)
                return target

            yield make


@pytest.fixture(scope="module")
def qemu(tmp_path_factory) -> Iterator[Board]:
    path: Path = tmp_path_factory.mktemp("qemu") / "code.bin"
    with board(*raw([SELF], path, base=BASE)) as running:
        yield running


@pytest.mark.slow
class TestQemuStub(Contract):
    unmapped = "the stub answers E14"

    @pytest.fixture
    def make(self, qemu: Board) -> Iterator[Make]:
        """Each target is a new connection to the same board, and ends the one before."""
        attached: list[GdbRemoteTarget] = []

        def make(words: Sequence[int]) -> Target:
            while attached:
                attached.pop().detach()
            target = GdbRemoteTarget.connect(qemu.address, memory=[RAM])
            attached.append(target)
            content = b"".join(word.to_bytes(4, "little") for word in words)
            target.write_memory(BASE, content.ljust(PAGE, b"\0"))
            registers = target.read_registers()
            registers.values[:] = [0] * 15 + [BASE]
            registers.cpsr = SUPERVISOR
            target.write_registers(registers)
            return target

        yield make
        while attached:
            attached.pop().detach()
