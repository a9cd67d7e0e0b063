"""Where a process makes system calls that it is told to make."""

from __future__ import annotations

import pytest
from tests.targets.contract import BASE, NOP, SELF
from tests.targets.stub import Stub

from armprobe.errors import Refused, TargetError
from armprobe.targets.base import Region
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linuxcalls import CALL_CODE, MUNMAP, SystemCalls

LINKER = Region(0x40000, 0x42000)


def test_a_call_is_found_around_pc_or_in_the_dynamic_linker():
    fake = FakeTarget([NOP, SELF], base=BASE)
    fake.map_memory(LINKER)
    with Stub(fake) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        with pytest.raises(Refused, match=r"^no system call instruction \(svc #0, A32\) is found near 0x00008000 in "):
            SystemCalls(target)
        target.write_memory(LINKER.start + 0x1100, CALL_CODE)
        SystemCalls(target, interpreter=LINKER.start)
        target.detach()


def test_a_thread_that_comes_out_of_an_interrupted_call_makes_none():
    fake = FakeTarget([int.from_bytes(CALL_CODE[:4], "little"), SELF], base=BASE)
    with Stub(fake) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        calls = SystemCalls(target)
        registers = target.read_registers()
        registers.r0 = -512  # ERESTARTSYS
        target.write_registers(registers)
        with pytest.raises(TargetError) as failed:
            calls.call(MUNMAP, 0, 0)
        assert failed.value.message == (
            f"no thread of the target at {stub.address} can make a system call: all of them come out of one that was "
            "interrupted"
        )
        assert target.read_registers().pc == BASE
        target.detach()
