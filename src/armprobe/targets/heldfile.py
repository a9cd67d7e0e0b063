"""A file without a name that a process maps and its stub holds open: what is there outlives the process.

The process makes it (memfd_create, Linux 3.17), and gdbserver opens it by way of /proc. From then on it lasts as
long as gdbserver has it, whatever becomes of the process, and needs no place in any file system.
"""

from __future__ import annotations

import re

from armprobe.errors import Refused, TargetError
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.journal import HeldFile, note
from armprobe.targets.linuxcalls import CLOSE, FTRUNCATE, MEMFD_CREATE, MFD_CLOEXEC, SystemCalls
from armprobe.targets.processstatus import ProcessStatus
from armprobe.targets.remotefiles import READ_WRITE, RemoteFile, read_file

#: as it stands in the list of what a process has mapped, `/memfd:armprobe (deleted)`
NAME = b"armprobe\0"
_LONGEST = re.compile(rb"^Max file size +(\d+)", re.MULTILINE)


def make_file(stub: GdbRemoteTarget, calls: SystemCalls, *, size: int, name: int) -> tuple[int, RemoteFile]:
    """Have the process make a file of `size` bytes; return its number there, and the file as the stub has it.

    NAME stands at `name` in the process. Raises Refused with the reason where that can't be done, or not without harm.
    """
    if stub.events is None:
        raise Refused("the stub does not follow the process to its end")
    process = stub.events.process
    status = ProcessStatus.read(stub.exchange, process)
    limits = read_file(stub.exchange, f"/proc/{process}/limits")
    if status is None or limits is None:
        raise Refused("the stub does not read /proc")
    if status.limited:
        raise Refused("the process is allowed certain system calls only (seccomp)")
    longest = _LONGEST.search(limits)
    if longest is not None and int(longest[1]) < size:
        raise Refused(f"the process may write no file of {size:,} bytes (ulimit -f), and would get a signal")
    try:
        number = calls.call(MEMFD_CREATE, name, MFD_CLOEXEC)
    except TargetError as error:
        raise Refused(error.message) from None
    try:
        calls.call(FTRUNCATE, number, size)
        file = RemoteFile.open(stub.exchange, stub.events.file(f"fd/{number}"), READ_WRITE)
        if file is None:
            raise Refused("the stub may not open a file that the process has opened")
    except TargetError as error:
        calls.call(CLOSE, number)
        raise Refused(error.message) from None
    except Refused:
        calls.call(CLOSE, number)
        raise
    note(stub.journal, HeldFile(file.number))
    return number, file
