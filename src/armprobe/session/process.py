"""Ways to a session on a Linux process."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from armprobe.errors import Refused, TargetError, UsageError
from armprobe.session.session import Session
from armprobe.symbols.image import Image
from armprobe.symbols.location import resolve
from armprobe.symbols.objects import LoadedImage, load_object, table_of
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Region, StopReason
from armprobe.targets.linkmap import AT_ENTRY, AT_EXECFN, read_link_map
from armprobe.targets.linux_process import LinuxProcess

_PAGE = 0x1000
#: all threads of a C library begin there
_THREAD_STARTS = ("pthread_create", "thrd_create")


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
    from armprobe.targets.gdbremote import GdbRemoteTarget
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
        objects = first = read_objects(target, image, path.name, root=root)
        if after is not None:
            _run_to(target, _one_place(after, table_of(objects)), f"{path.name} never came to {after}")
            objects = read_objects(target, image, path.name, root=root)
        # Arguments and environment; at their end is the program's name.
        stack = Region(start, (target.auxiliary.get(AT_EXECFN, start) & -_PAGE) + _PAGE, name="arguments")
        symbols = table_of(objects)
        starts = {symbol.address for name in _THREAD_STARTS for symbol in symbols.named(name) if symbol.function}
        target.describe([*_regions(objects, stay=first), stack], thread_starts=starts)
    except BaseException:
        emulator.process.kill()
        emulator.connection.close()
        shared.close()
        raise
    return Session(target, symbols=symbols, detach=target.detach, ends_target=True)


def read_objects(target: LinuxProcess, image: Image, name: str, *, root: str | Path | None = None) -> list[LoadedImage]:
    """The program of a process, which is `image`, and all shared objects that it has loaded by now.

    The files of these are looked for below `root` first. Raises TargetFault.
    """
    bias = target.auxiliary.get(AT_ENTRY, image.entry) - image.entry
    objects = [LoadedImage(name, image.rebased(bias), bias, main=True)]
    for loaded in read_link_map(target.read_memory, target.auxiliary, bias=bias):
        found = load_object(_file_of(loaded.name, root), bias=loaded.bias)
        objects += [found] if found is not None else []
    return objects


def _regions(objects: Iterable[LoadedImage], *, stay: Collection[LoadedImage]) -> list[Region]:
    """Where the objects are; those that `stay` can be read as long as the process lives."""
    return [
        Region(part.address, part.end, known in stay, part.writable, part.executable, known.name)
        for known in objects
        for part in known.image.segments
    ]


def _file_of(name: str, root: str | Path | None) -> Path:
    """The file that the emulator opens for the process's `name`."""
    below = Path(os.fspath(root) + "/" + name) if root is not None else None
    return below if below is not None and below.exists() else Path(name)


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
