"""The program of a Linux process, and the shared objects that it has loaded by now."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from armprobe.errors import Refused
from armprobe.symbols.image import Image
from armprobe.symbols.objects import LoadedImage, load_object, table_of
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Region
from armprobe.targets.linkmap import AT_ENTRY, Loaded, LoaderState, read_link_map, read_loader
from armprobe.targets.linux_process import LinuxProcess

#: all threads of a C library begin there
_THREAD_STARTS = ("pthread_create", "thrd_create")


class Libraries:
    """What a process has loaded: `objects`, the program first, as of the last `read`."""

    def __init__(
        self,
        target: LinuxProcess,
        image: Image,
        name: str,
        *,
        root: str | Path | None = None,
        besides: Sequence[Region] = (),
    ) -> None:
        """`image` is the program, called `name`. Files are looked for below `root`, then where the process runs.

        `besides` is what else is mapped as long as the process lives.
        """
        self._target = target
        self._root = root
        self._besides = list(besides)
        main = image_of(target, image)
        self._bias = main.entry - image.entry & 0xFFFFFFFF
        self._main = LoadedImage(name, main, self._bias, main=True)
        self._known: dict[Loaded, LoadedImage | None] = {}
        self._symbols = table_of([self._main])
        #: those that can be read as long as the process lives
        self._stay: list[LoadedImage] = [self._main]

    @property
    def objects(self) -> list[LoadedImage]:
        return [self._main, *(known for known in self._known.values() if known is not None)]

    @property
    def fleeting(self) -> list[LoadedImage]:
        """Those that may be unloaded."""
        return [known for known in self.objects if known not in self._stay]

    def symbols(self) -> SymbolTable:
        """Those of all objects."""
        return self._symbols

    def read(
        self, *, stay: bool = False, far: Collection[str] | None = None
    ) -> tuple[list[LoadedImage], list[LoadedImage]]:
        """Find out what is loaded; return what has come since the last time, and what has gone.

        All of it will `stay`, as what is loaded with the program does. Of files that are not on this computer, only
        those are read that one of the shell patterns `far` matches. Raises TargetFault.
        """
        before = self.objects
        known: dict[Loaded, LoadedImage | None] = {}
        for loaded in read_link_map(self._target.read_memory, self._target.auxiliary, bias=self._bias):
            if loaded in self._known:
                known[loaded] = self._known[loaded]
                continue
            wanted = far is None or any(fnmatchcase(PurePosixPath(loaded.name).name, pattern) for pattern in far)
            path, content = self._find_file(loaded.name, far=wanted)
            if content is not None or wanted:
                known[loaded] = load_object(loaded.name, content, bias=loaded.bias, path=path)
        self._known = known
        now = self.objects
        if stay:
            self._stay = now
        if stay or now != before:
            self._symbols = table_of(now)
            self._describe()
        return [known for known in now if known not in before], [known for known in before if known not in now]

    def loader(self) -> tuple[int, LoaderState]:
        """The address of the function that the dynamic linker calls when its list changes, and what it is doing.

        Raises Refused in a program without one.
        """
        found = read_loader(self._target.read_memory, self._target.auxiliary, bias=self._bias)
        if found is None:
            raise Refused(f"{self._main.name} has no dynamic linker that tells of libraries: it can't load any")
        return found

    def _find_file(self, name: str, *, far: bool) -> tuple[Path | None, bytes | None]:
        """Where on this computer, if it is there, and what the file is that the process opens by `name`.

        With `far`, it is read where the process runs.
        """
        places = [Path(os.fspath(self._root) + "/" + name)] if self._root is not None else []
        local = self._target.is_local
        for path in [*places, *([Path(name)] if local else [])]:
            with suppress(OSError):
                return path, path.read_bytes()
        return None, self._target.read_file(name) if far and not local else None

    def _describe(self) -> None:
        """Tell the target what is where."""
        regions = [
            Region(
                part.address, part.end, True, part.writable, part.executable, known.name, lasting=known in self._stay
            )
            for known in self.objects
            for part in known.image.segments
        ]
        found = (symbol for name in _THREAD_STARTS for symbol in self._symbols.named(name))
        starts = {symbol.address for symbol in found if symbol.function}
        self._target.describe([*regions, *self._besides], thread_starts=starts)


def image_of(target: LinuxProcess, image: Image) -> Image:
    """The image of a process's program, where it runs."""
    return image.rebased(target.auxiliary.get(AT_ENTRY, image.entry) - image.entry)
