"""What the kernel tells a process at its start (AT_*): where its program is, its interpreter, and its processor."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from armprobe.errors import TargetFault
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linkmap import AT_PLATFORM
from armprobe.targets.rsp import object_part

_PLATFORM = re.compile(rb"v([4-8])")


def auxiliary_vector(stub: GdbRemoteTarget) -> dict[int, int]:
    """The values by their types."""
    content = bytearray()
    while True:
        part, last = object_part(stub.ask(b"qXfer:auxv:read::%x,ff0" % len(content)))
        content += part
        if last or not part:
            break
    words = struct.iter_unpack("<II", bytes(content[: len(content) & ~7]))
    return dict(words)


def architecture_of(stub: GdbRemoteTarget, auxiliary: Mapping[int, int]) -> int:
    """The architecture version by what the kernel calls the processor (AT_PLATFORM: `v7l`); else what the stub says."""
    try:
        name = _PLATFORM.match(stub.read_memory(auxiliary[AT_PLATFORM], 4))
    except (KeyError, TargetFault):
        return stub.architecture
    return stub.architecture if name is None else int(name[1])
