"""Commands for the server behind a stub itself: what GDB's `monitor` sends (qRcmd)."""

from __future__ import annotations

from armprobe.errors import TargetError
from armprobe.targets.connection import Connection
from armprobe.targets.rsp import data_of, error_of


def execute_command(connection: Connection, command: str) -> str:
    """Have the server execute a command of its own and return what it printed.

    The target stands still, though a command may well let it run. Raises TargetError when the stub takes no commands or
    says that this one failed, TargetLost when it does not come to its end.
    """
    printed = bytearray()
    connection.start(b"qRcmd," + command.encode().hex().encode())
    reply = connection.wait(timeout=connection.timeout)
    # Output comes in packets of its own (O), and from some stubs in the last one, in the place of OK.
    while reply is not None and reply[:1] == b"O" and reply != b"OK":
        printed += data_of(reply[1:], what="output of a command")
        reply = connection.wait(timeout=connection.timeout)
    if reply is None:
        raise connection.lose(f"the command {command!r} of the stub at {connection.name} does not end")
    if not reply:
        raise TargetError(
            f"the stub at {connection.name} takes no commands, or not {command!r}",
            hint="what it takes is in its manual, where GDB's `monitor` is explained",
        )
    error = error_of(reply)
    if error is not None:
        raise TargetError(
            f"the command {command!r} failed: the stub at {connection.name} answers {error}",
            evidence=printed.decode("utf-8", "replace").rstrip(),
        )
    if reply != b"OK":
        printed += data_of(reply, what="output of a command")
    return printed.decode("utf-8", "replace")
