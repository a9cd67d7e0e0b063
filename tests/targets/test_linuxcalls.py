"""Where a process makes system calls that it is told to make."""

from __future__ import annotations

import pytest
from tests.targets.contract import BASE, NOP, SELF
from tests.targets.stub import Stub

from armprobe.errors import Refused
from armprobe.targets.base import Region
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linuxcalls import CALL_CODE, SystemCalls

LINKER = Region(0x40000, 0x42000, writable=False)
DATA = Region(0x42000, 0x43000, executable=False)
OURS = Region(BASE, BASE + 0x1000)


def find(target: GdbRemoteTarget) -> int:
    """Where the process would make calls: around PC, and in its dynamic linker."""
    return SystemCalls(target, near=[target.read_registers().pc, LINKER.start], regions=[LINKER, DATA, OURS])._place


def test_a_call_is_found_where_code_is_executed_and_first_where_it_can_not_be_written():
    fake = FakeTarget([NOP, SELF], base=BASE)
    fake.map_memory(LINKER)
    fake.map_memory(DATA)
    with Stub(fake) as stub:
        target = GdbRemoteTarget.connect(stub.address)
        target.write_memory(DATA.start, CALL_CODE)
        with pytest.raises(Refused, match=r"^no system call instruction \(svc #0, A32\) is found near 0x00008000 in "):
            find(target)
        target.write_memory(BASE, CALL_CODE)
        assert find(target) == BASE
        target.write_memory(LINKER.start + 0x1100, CALL_CODE)
        assert find(target) == LINKER.start + 0x1100
        target.detach()
