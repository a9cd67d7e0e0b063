"""The first talk with a GDB stub: what it can do, which registers and which memory its target has."""

from __future__ import annotations

import re
from dataclasses import dataclass

from armprobe.errors import ProtocolError, TargetError, TargetLost, UsageError
from armprobe.targets.base import Region
from armprobe.targets.connection import Connection
from armprobe.targets.remotemonitor import execute_command
from armprobe.targets.rsp import (
    Output,
    StopKind,
    StopReply,
    data_of,
    error_of,
    features,
    number,
    object_part,
    stop_reply,
    supported_actions,
)
from armprobe.targets.rspxml import LEGACY, Description, Register, read_description, read_memory_map
from armprobe.targets.systemregisters import FREQUENCY_NAMES

_OFFER = b"qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+;xmlRegisters=arm;binary-upload+"
#: what it takes to follow a process
_FOLLOWING = ("multiprocess", "fork-events", "vfork-events", "exec-events", "QPassSignals")
#: what a stub takes that does not say: GDB's own guess
_PACKET_SIZE = 400
_NAMES = (*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "cpsr")
_STOP = re.compile(rb"[ST][0-9a-fA-F]{2}.*", re.DOTALL)
_LONGEST_DOCUMENT = 1 << 20
#: MIDR bits 19:16 -> architecture version; 0xf: the ID registers tell (DDI 0406C B4.1.105)
_ARCHITECTURES = {1: 4, 2: 4, 3: 5, 4: 5, 5: 5, 6: 5, 7: 6}
#: MIDR bits 15:4 of processors with ID registers that are ARMv6: ARM1136, ARM1156, ARM1176, ARM11 MPCore
_ARM11 = (0xB36, 0xB56, 0xB76, 0xB02)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the first talk brought. `registers` are r0 to r12, sp, lr, pc, cpsr; `stop` is why the target stands."""

    stop: StopReply
    registers: tuple[Register, ...]
    #: all registers that the stub shows, by their names
    described: dict[str, Register]
    architecture: int
    regions: tuple[Region, ...]
    packet_size: int
    binary_read: bool
    binary_write: bool
    #: whether zeros may stand for memory that can't be read: `can_read_by_command` tells
    doubtful_zeros: bool
    writes_one: bool
    resumes: bool
    breakpoints: bool
    #: whether the target is a process of an operating system, and whether the stub tells of its children and its end
    process: bool
    follows: bool
    #: whether the stub shows system registers, as that of a whole machine does
    system: bool
    #: of the generic timer, in Hz; None where the stub shows none
    timer_frequency: int | None


def negotiate(connection: Connection) -> Abilities:
    """Ask a stub what it can do. Raises UsageError when its target runs no 32-bit ARM code, ProtocolError."""
    offered = features(_greet(connection))
    if offered.get("QStartNoAckMode") == "+" and connection.ask(b"QStartNoAckMode") == b"OK":
        connection.acknowledges = False
    if offered.get("QNonStop") == "+":
        connection.ask(b"QNonStop:0")  # it may be as a client before us left it
    stop = stop_reply(connection.try_pipelining(b"vMustReplyEmpty", b"?"))
    if isinstance(stop, Output) or stop.kind is not StopKind.STOPPED:
        raise TargetError(f"the program at {connection.name} has ended", hint="start it again, and attach")
    # A stub without breakpoints does not know how to take one away either; one with them may say that there is none.
    binary, actions, software, hardware = connection.exchange([b"X0,0:", b"vCont?", b"z0,0,4", b"z1,0,4"])
    description = describe(connection) if offered.get("qXfer:features:read") == "+" else LEGACY
    if description.architecture and not description.architecture.startswith(("arm", "iwmmxt", "xscale", "ep9312")):
        raise UsageError(
            f"the target at {connection.name} is {description.architecture}, not 32-bit ARM",
            hint="armprobe probes A32 code; start the processor in 32-bit state",
        )
    registers = _core_registers(description)
    openocd = _is_openocd(connection, offered)
    pc = registers[15]
    current = connection.ask(b"p%x" % pc.number)
    written = connection.ask(b"P%x=%b" % (pc.number, current)) if current and error_of(current) is None else b""
    return Abilities(
        stop=stop,
        registers=registers,
        described=description.registers,
        architecture=_architecture(connection, description),
        regions=_regions(connection, guessed=openocd) if offered.get("qXfer:memory-map:read") == "+" else (),
        packet_size=number(offered["PacketSize"].encode(), what="a size") if "PacketSize" in offered else _PACKET_SIZE,
        binary_read=offered.get("binary-upload") == "+",
        # An error is one of address 0. OpenOCD says that X is done before it is, and tells later that it was not.
        binary_write=binary != b"" and not openocd,
        doubtful_zeros=openocd,
        writes_one=written == b"OK",
        resumes={"c", "s", "C", "S"} <= supported_actions(actions),
        breakpoints=bool(software or hardware),
        process=offered.get("qXfer:auxv:read") == "+",
        follows=all(offered.get(feature) == "+" for feature in _FOLLOWING),
        system="MIDR" in description.registers,
        timer_frequency=_system_register(connection, description, *FREQUENCY_NAMES),
    )


def _greet(connection: Connection) -> bytes:
    """What the stub offers. QEMU first tells that it stopped, if the target ran when we came."""
    reply: bytes | None = connection.ask(_OFFER)
    while reply is not None and _STOP.fullmatch(reply):
        reply = connection.wait(timeout=connection.timeout)
    if reply is None:
        raise ProtocolError(f"the stub at {connection.name} does not say what it offers")
    return reply


def _read_object(connection: Connection, kind: str, name: str) -> str:
    """Read a whole document."""
    document = bytearray()
    while True:
        request = f"qXfer:{kind}:read:{name}:{len(document):x},ff0"
        part, last = object_part(connection.ask(request.encode()))
        document += part
        if last:
            return document.decode("utf-8", "replace")
        if not part or len(document) > _LONGEST_DOCUMENT:
            raise ProtocolError(f"the stub at {connection.name} does not come to the end of {name or kind!r}")


def describe(connection: Connection) -> Description:
    """Read the target description of a stub that offers one. Raises ProtocolError."""
    return read_description(lambda name: _read_object(connection, "features", name))


def _core_registers(description: Description) -> tuple[Register, ...]:
    names = [name for name in _NAMES if name not in description.registers]
    if not description.registers:
        return tuple(LEGACY.registers[name] for name in _NAMES)
    if names:
        raise UsageError(
            f"the stub describes no register {names[0]}",
            hint="armprobe probes A32 code; a Cortex-M processor has xpsr for cpsr" if names == ["cpsr"] else "",
        )
    return tuple(description.registers[name] for name in _NAMES)


def _architecture(connection: Connection, description: Description) -> int:
    """The architecture version by MIDR, where the stub shows it; else 7."""
    value = _system_register(connection, description, "MIDR")
    if value is None:
        return 7
    if value >> 16 & 0xF == 0xF:
        return 6 if value >> 4 & 0xFFF in _ARM11 else 7
    return _ARCHITECTURES.get(value >> 16 & 0xF, 7)


def _system_register(connection: Connection, description: Description, *names: str) -> int | None:
    """The 32 bits of a register that has one of these names; None where the stub does not show it."""
    for name in names:
        register = description.registers.get(name)
        reply = connection.ask(b"p%x" % register.number) if register is not None else b""
        if reply and error_of(reply) is None:
            return int.from_bytes(data_of(reply, what="a register")[:4], "little")
    return None


def _regions(connection: Connection, *, guessed: bool) -> tuple[Region, ...]:
    """The memory map. Flash and ROM are what nobody writes by a plain write.

    `guessed`: RAM is only what is no flash, so that code of ours can't rely on it.
    """
    regions = []
    for part in sorted(read_memory_map(_read_object(connection, "memory-map", "")), key=lambda part: part.start):
        ram = part.kind == "ram"
        regions.append(Region(part.start, part.end, readable=not (ram and guessed), writable=ram, name=part.kind))
    return tuple(regions)


def _is_openocd(connection: Connection, offered: dict[str, str]) -> bool:
    """Whether OpenOCD is the server.

    Source: src/server/gdb_server.c of OpenOCD 0.12 (gdb_read_memory_packet, gdb_write_memory_binary_packet,
    gdb_memory_map); its answers were seen.
    """
    if "qXfer:threads:read" not in offered or "multiprocess" in offered:
        return False
    try:
        return "Open On-Chip Debugger" in execute_command(connection, "version")
    except TargetLost:
        raise
    except TargetError:
        return False


def can_read_by_command(connection: Connection, address: int, size: int) -> bool:
    """Whether OpenOCD can read memory for which it sent zeros, as it does for what can't be read.

    It says so instead only where its user has wished it before it began (`gdb_report_data_abort enable`).
    """
    words = not (address | size) & 3
    command = f"mdw {address:#x} {size // 4}" if words else f"mdb {address:#x} {size}"
    return execute_command(connection, f"catch {{{command}}}").split()[-1:] == ["0"]
