"""Ways to a session on a Linux process."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from armprobe.errors import Refused, TargetError, TargetFault, UsageError
from armprobe.isa.exits import reached_exits
from armprobe.session.journal import JournalFile, let_go
from armprobe.session.libraries import Libraries, image_of
from armprobe.session.session import Session
from armprobe.symbols.image import Image
from armprobe.symbols.location import resolve
from armprobe.symbols.objects import load_object
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Region, StopReason
from armprobe.targets.gdbremote import GdbRemoteTarget, WholeFunction
from armprobe.targets.linkmap import AT_ENTRY, AT_EXECFN, AT_SYSINFO_EHDR
from armprobe.targets.linux_process import LinuxProcess, Vdso

_PAGE = 0x1000
#: of the name of a task (TASK_COMM_LEN), without the zero
_NAME_SIZE = 15
#: more than any has
_VDSO_SIZE = 4 * _PAGE


def spawn(
    command: Sequence[str | Path],
    *,
    root: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: IO[Any] | int | None = None,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
    after: str | int | None = None,
) -> Session:
    """Start an A32 Linux program under QEMU's user-mode emulator, and start a session on it.

    `command` is the path of an ELF file and the program's arguments; `root` is where it finds its interpreter and
    libraries (qemu-arm -L), `env` its environment (default: ours). Its standard input, output and error are ours, or
    the files given (or subprocess.DEVNULL): armprobe has no part in them. It stands at its entry point, where shared
    libraries are loaded and their constructors have run; or at the place `after`, with what it has loaded by then. It
    gets its signals as ever; leaving the session before its end kills it.
    Raises UsageError for a file that is no 32-bit ARM program, Refused for one in Thumb code, MissingDependency without
    qemu-arm, TargetError when the program ends before its entry point, as it does when libraries are missing.
    """
    from armprobe.targets.processmemory import SharedData
    from armprobe.targets.useremulator import UserEmulator

    if not command:
        raise UsageError("there is no program to start", hint="give the path of an ELF file, and its arguments")
    path = Path(command[0])
    image = Image.load(path)
    if image.entry & 1:
        raise Refused(
            f"{path.name} starts in Thumb code: T32 is not supported yet",
            hint="build it with -marm; of Debian's ports, armel is A32",
        )
    shared = SharedData()
    try:
        emulator = UserEmulator(command, root=root, env=env, streams=(stdin, stdout, stderr), shared=shared.file)
    except BaseException:
        shared.close()
        raise
    try:
        stub = GdbRemoteTarget(emulator.connection, process=True, interrupt=emulator.interrupt, tell=emulator.tell)
        target = LinuxProcess(stub, emulator=emulator, shared=shared)
        start = target.read_registers().sp & -_PAGE
        _run_to(
            target,
            target.auxiliary[AT_ENTRY],
            f"{path.name} did not come to its entry point",
            hint="are its interpreter and its libraries there? --root DIR (root=...) is where it finds them",
        )
        target.take_memory()
        # Arguments and environment; at their end is the program's name.
        stack = Region(start, (target.auxiliary.get(AT_EXECFN, start) & -_PAGE) + _PAGE, name="arguments")
        libraries = Libraries(target, image, path.name, root=root, besides=[stack])
        libraries.read(stay=True)
        if after is not None:
            _run_to(target, _one_place(after, libraries.symbols()), f"{path.name} never came to {after}")
            libraries.read()
        _find_threads(target, libraries)
    except BaseException:
        emulator.process.kill()
        emulator.connection.close()
        shared.close()
        raise
    return Session(
        target, symbols=libraries.symbols(), detach=target.detach, ends_target=True, libraries=libraries,
    )  # fmt: skip


def attach_process(
    stub: GdbRemoteTarget,
    image: Image,
    *,
    journal: JournalFile,
    root: str | Path | None = None,
    slots: Sequence[Region] = (),
) -> Session:
    """Start a session on the process behind `stub`, that of gdbserver; its program is `image`.

    One that stands where it was started comes to its entry point first. The files of its libraries are read through the
    stub, or found below `root`. Raises what `LinuxProcess` does; then the process runs on.
    """
    try:
        target = LinuxProcess(stub)
        new = target.is_new
        if new:
            _run_to(target, target.auxiliary[AT_ENTRY], f"{image.name} did not come to its entry point")
        target.take_memory(_find_vdso(target))
        libraries = Libraries(target, image, image.name, root=root)
        # What an older process has loaded, it may unload.
        libraries.read(stay=new)
        _find_threads(target, libraries)
    except BaseException:
        let_go(stub.detach, journal)
        raise
    return Session(
        target,
        symbols=libraries.symbols(),
        slots=slots,
        detach=partial(let_go, target.detach, journal),
        image=image_of(target, image),
        libraries=libraries,
    )


def as_process(session: Session) -> LinuxProcess | None:
    """The target of a session, if it is a Linux process."""
    return session.target if isinstance(session.target, LinuxProcess) else None


def _find_threads(target: LinuxProcess, libraries: Libraries) -> None:
    """Tell the target where its threads have their numbers, if a C library says so: it does to libthread_db.

    Source: nptl_db/structs.def and sysdeps/arm/nptl/tls.h (glibc): TPIDRURO points behind a thread's struct pthread,
    and a field is described by its bits, its elements and its offset.
    """
    sizes, fields = map(libraries.symbols().named, ("_thread_db_sizeof_pthread", "_thread_db_pthread_tid"))
    if not (sizes and fields):
        return
    (length,) = struct.unpack("<I", target.read_memory(sizes[0].address, 4))
    bits, _, offset = struct.unpack("<3I", target.read_memory(fields[0].address, 12))
    if bits == 32 and offset + 4 <= length < _PAGE:
        target.know_threads(offset - length, name=libraries.objects[0].name[:_NAME_SIZE])


def _find_vdso(target: LinuxProcess) -> Vdso | None:
    """The vDSO of the process's kernel, where it has a clock: without a counter that programs may read, it has none."""
    place = target.auxiliary.get(AT_SYSINFO_EHDR)
    if place is None:
        return None
    content = b""
    with suppress(TargetFault):
        while len(content) < _VDSO_SIZE:
            content += target.read_memory(place + len(content), _PAGE)
    known = load_object("vdso", content, bias=place)
    if known is None:
        return None
    ends = [part.end for part in known.image.segments]
    functions = [symbol for symbol in known.image.symbols if symbol.function and not symbol.thumb]
    clock = next((function for function in functions if function.name == "__vdso_clock_gettime"), None)
    if clock is None:
        return None
    whole = []
    for function in functions:
        start, end = function.address, function.address + function.size
        exits = reached_exits(content[start - place : end - place], start)
        if exits is not None:
            whole.append(WholeFunction(Region(start, end), tuple(exits)))
    return Vdso(clock.address, Region(place, max(ends)), tuple(whole))


def _one_place(where: str | int, symbols: SymbolTable) -> int:
    if isinstance(where, int):
        return where
    places = resolve(where, symbols)
    if len(places) > 1:
        raise UsageError(f"one place is wanted to start at, and {where!r} stands for {len(places)}")
    return places[0].address


def _run_to(target: LinuxProcess, place: int, failure: str, *, hint: str = "") -> None:
    stop = target.run(lambda _pc: False, until=place)
    if stop.reason is StopReason.INTERRUPT:
        raise KeyboardInterrupt
    if stop.reason is not StopReason.ADDRESS:
        raise TargetError(f"{failure}: it " + (stop.message or f"ended with exit code {stop.exit_code}"), hint=hint)
