"""Debian's gdbserver in a Linux guest: the contract of targets, and programs with threads, signals and children."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests.integration.gdbserver_guest import GdbserverGuest, gdbserver_guest
from tests.integration.linux_programs import blank_program, threads_program
from tests.targets.contract import BASE, Contract, Make

from armprobe.targets.base import Region, Target
from armprobe.targets.gdbremote import GdbRemoteTarget

PAGE = 4096
USER = 0x10
FEW = 20

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    return {"blank": blank_program(folder), "few": threads_program(folder, rounds=FEW)}


@pytest.fixture(scope="module")
def guest(programs) -> Iterator[GdbserverGuest]:
    with gdbserver_guest({f"bin/{name}": path.read_bytes() for name, path in programs.items()}) as running:
        yield running


class TestContract(Contract):
    unmapped = "the stub answers E01"

    @pytest.fixture
    def make(self, guest: GdbserverGuest) -> Iterator[Make]:
        attached: list[GdbRemoteTarget] = []

        def make(words: Sequence[int]) -> Target:
            target = GdbRemoteTarget.connect(guest.serve("/bin/blank"), regions=[Region(BASE, BASE + PAGE)])
            attached.append(target)
            target.write_memory(BASE, b"".join(word.to_bytes(4, "little") for word in words).ljust(PAGE, b"\0"))
            return target

        yield make
        for target in attached:
            target.detach()
