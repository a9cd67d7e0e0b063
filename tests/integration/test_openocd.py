"""OpenOCD itself, in front of an ARM7TDMI that its dummy adapter makes of nothing: all that is read is ones.

No code runs there; what is tried is the talk with the server, which other tests imitate.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from armprobe.codegen.memory import readable_ranges
from armprobe.errors import TargetError, UsageError
from armprobe.probes.word_search import can_search
from armprobe.targets.base import Region
from armprobe.targets.connection import Connection
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.remotesetup import can_read_by_command

COMMANDS = (
    "adapter driver dummy", "adapter speed 1000", "transport select jtag", "jtag newtap chip cpu -irlen 4",
    "target create chip.cpu arm7tdmi -chain-position chip.cpu", "tcl_port disabled", "telnet_port disabled",
    "gdb_port pipe",
)  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    if shutil.which("openocd") is None:
        pytest.skip("openocd is missing; `make test` installs it")
    ours, theirs = socket.socketpair()
    options = [option for command in (*COMMANDS, "init") for option in ("-c", command)]
    with (tmp_path / "log").open("wb") as log, ours, theirs:
        command = ["openocd", "-l", str(tmp_path / "log"), *options]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=log)
        try:
            yield Connection(ours, name="OpenOCD")
        finally:
            process.kill()
            process.wait()


def test_the_server_is_recognised_and_its_quirks_are_as_they_are_imitated(connection: Connection):
    target = GdbRemoteTarget(connection)
    assert "Open On-Chip Debugger" in target.monitor("version")
    assert target.regions[0].name == "unknown"
    assert target.no_memory == "the stub at OpenOCD does not say what memory there is"
    assert target.read_memory(0x1000, 8) == b"\xff" * 8
    assert can_read_by_command(connection, 0x1000, 8)
    assert can_read_by_command(connection, 0x1001, 3)
    target.write_memory(0x1000, bytes(64))
    assert target.monitor("catch {mdw 0x1000 2}") == "0\n"
    assert target.monitor("catch {nonsense}") == "1\n"
    with pytest.raises(TargetError) as error:
        target.monitor("gdb_report_data_abort enable")
    assert "must be used before" in error.value.evidence
    registers = target.read_registers()
    registers.r3 = 0x1234
    target.write_registers(registers)
    target.push_registers()
    assert target.read_registers().r3 == 0x1234


def test_memory_that_the_user_states_is_what_handlers_read(connection: Connection):
    target = GdbRemoteTarget(connection)
    target.know_memory([Region(0x20000000, 0x20020000, name="ram"), Region(0x8000000, 0x8080000, writable=False)])
    assert (target.no_memory, target.translation) == ("", None)
    assert readable_ranges(target.regions) == ((0x8000000, 0x8080000), (0x20000000, 0x20020000))
    assert can_search(target)
    with pytest.raises(UsageError, match=r"^memory 0x20000000:0x20000010 and 0x20000008:0x20000020 overlap$"):
        target.know_memory([Region(0x20000000, 0x20000010), Region(0x20000008, 0x20000020)])
