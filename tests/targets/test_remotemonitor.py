"""Commands for the server behind a stub."""

from __future__ import annotations

import re

import pytest
from tests.targets.contract import BASE, NOP, SELF
from tests.targets.stub import Stub, packet

from armprobe.errors import TargetError, TargetLost
from armprobe.targets.connection import Connection
from armprobe.targets.fake import FakeTarget
from armprobe.targets.remotemonitor import execute_command


def says(*replies: bytes, command: str = "reset halt") -> str:
    """What a command gives whose stub answers with these packets."""
    requests = []

    def answer(request: bytes) -> bytes | None:
        requests.append(request)
        return b"+" + b"".join(map(packet, replies))

    with Stub(FakeTarget([NOP, SELF], base=BASE), answer=answer) as stub:
        connection = Connection.open(stub.address, timeout=0.1)
        try:
            return execute_command(connection, command)
        finally:
            assert requests == [b"qRcmd," + command.encode().hex().encode()]
            connection.close()


def test_output_comes_in_packets_of_its_own():
    assert says(b"O" + b"halted at ".hex().encode(), b"O" + b"0x8000\n".hex().encode(), b"OK") == "halted at 0x8000\n"


def test_output_may_come_in_the_place_of_ok():
    assert says(b"O" + b"info\n".hex().encode(), b"result\n".hex().encode()) == "info\nresult\n"


def test_a_command_may_print_nothing():
    assert says(b"OK") == ""


def test_a_stub_without_commands_is_told():
    with pytest.raises(TargetError, match=r"^the stub at 127\.0\.0\.1:\d+ takes no commands, or not 'reset halt'$"):
        says(b"")


def test_a_command_that_fails_shows_what_was_printed():
    with pytest.raises(TargetError, match=r"^the command 'reset halt' failed: the stub at \S+ answers E0e$") as caught:
        says(b"O" + b"no target\n".hex().encode(), b"E0e")
    assert caught.value.evidence == "no target"


def test_a_command_without_an_end_is_given_up():
    message = r"^the command 'reset halt' of the stub at \S+ does not end$"
    with pytest.raises(TargetLost, match=message):
        says(b"O" + re.escape(b"...").hex().encode())
