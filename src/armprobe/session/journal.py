"""The journal of a session: a file that says what to undo, should this process be killed.

One line a batch: a checksum, and the changes as JSON. The first line says whose journal it is. A session holds the file
locked; a file that nobody holds, and that leaves something, is what a session that was killed left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, get_args

from armprobe.errors import Refused, UsageError
from armprobe.targets.connection import parse_address
from armprobe.targets.journal import Change, Left

_VERSION = 1
_CLASSES = {kind.__name__: kind for kind in get_args(Change)}
_FIELDS = {name: [field.name for field in fields(kind)] for name, kind in _CLASSES.items()}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose journal it is. `identity` tells the target from others: a digest of the image, or a kernel's banner."""

    address: str
    kernel: bool
    program: str
    identity: str
    process: int


def default_path(address: str) -> Path:
    """Where the journal of the target at `HOST:PORT` is: in the user's directory for state (XDG base directories).

    Raises UsageError for what is no address.
    """
    host, port = parse_address(address)
    with suppress(OSError):
        host = socket.gethostbyname(host)
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else Path.home() / ".local/state"
    return folder / "armprobe" / f"{host.replace(':', '_')}_{port}.journal"


class JournalFile:
    """The journal at `path`, locked: a `Journal`. `left` is what it leaves to be undone, `owner` who wrote it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.owner: Owner | None = None
        self.left = Left()
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, address: str) -> Self:
        """Take hold of the journal of the target at `address`; make an empty one where there is none.

        Raises Refused while another process holds it, UsageError when it can't be read and written, or is none.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    raise _held(path, address) from None
                # Its last owner may have removed it between our two steps.
                with suppress(FileNotFoundError):
                    if path.stat().st_ino == os.fstat(descriptor).st_ino:
                        break
                os.close(descriptor)
        except OSError as error:
            raise _useless(path, error) from None
        journal = cls(path, descriptor)
        try:
            journal._read()
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def refuse_leftovers(self, address: str) -> None:
        """Raise Refused when the session on `address` whose journal this was left something."""
        if self.left.unfinished:
            who = "" if self.owner is None else f" ({self.owner.program}, process {self.owner.process})"
            raise Refused(
                f"a session on {address}{who} did not end, and its changes are still there",
                evidence=str(self.path),
                hint=f"{restore_command(address, self.path)} undoes them",
            )

    def begin(self, owner: Owner) -> None:
        """Make it the journal of a new session; memory that sessions before left in place stays noted."""
        os.ftruncate(self._descriptor, 0)
        in_place, self.left, self.owner = self.left.in_place, Left(), owner
        facts = {field.name: getattr(owner, field.name) for field in fields(owner)}
        self._append({"journal": _VERSION} | facts)
        if in_place:
            self.note(*in_place)

    def note(self, *noted: Change) -> None:
        self._append(
            [[kind := type(change).__name__, *(getattr(change, name) for name in _FIELDS[kind])] for change in noted]
        )
        for change in noted:
            self.left.add(change)

    @property
    def remedy(self) -> str:
        return f"{restore_command(self.owner.address, self.path)} undoes it" if self.owner is not None else ""

    def close(self) -> None:
        """Let go of it, and remove it when nothing is left to be undone."""
        if self._descriptor < 0:
            return
        try:
            if not self.left:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, value: object) -> None:
        text = json.dumps(value, separators=(",", ":"), default=_plain).encode()
        line = b"%08x %b\n" % (zlib.crc32(text), text)
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise _useless(self.path, error) from None

    def _read(self) -> None:
        data = self.path.read_bytes()
        # The last line may be torn: what it announces was not done yet.
        os.ftruncate(self._descriptor, data.rfind(b"\n") + 1)
        for value in _lines(data, self.path):
            if isinstance(value, dict):
                if value.pop("journal", None) != _VERSION:
                    raise UsageError(f"{self.path} is the journal of another version of armprobe", hint=_AS_LAST_RESORT)
                self.owner = Owner(**value)
            else:
                for name, *arguments in value:
                    self.left.add(_CLASSES[name](*map(_bytes_again, arguments)))


@contextmanager
def holding(address: str, path: str | Path | None) -> Iterator[JournalFile]:
    """Hold the journal of a target, that at `path` or the default one; let go of it when the block raises."""
    file = JournalFile.open(Path(path) if path is not None else default_path(address), address)
    try:
        yield file
    except BaseException:
        file.close()
        raise


def let_go(detach: Callable[[], object], file: JournalFile) -> None:
    """Detach from a target, then let go of its journal."""
    try:
        detach()
    finally:
        file.close()


def restore_command(address: str, path: Path) -> str:
    """The command that undoes what the journal leaves."""
    option = "" if path == default_path(address) else f" --journal {path}"
    return f"`armprobe restore --gdb {address}{option}`"


_AS_LAST_RESORT = "restart the target, and delete the file"


def _lines(data: bytes, path: Path) -> Iterator[Any]:
    """The values of all whole lines."""
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            raise UsageError(f"{path} is damaged, or no journal of armprobe: line {number}", hint=_AS_LAST_RESORT)
        yield json.loads(text)


def _held(path: Path, address: str) -> Refused:
    who = "another session of armprobe"
    with suppress(OSError, UsageError, StopIteration, KeyError, TypeError):
        who += f", process {next(_lines(path.read_bytes(), path))['process']},"
    return Refused(f"{who} works on {address} ({path})", hint="end it first: it restores what it changed")


def _useless(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the journal {path} can't be kept: {error.strerror or error}",
        hint="name another place with --journal PATH; it is what restores the target should armprobe be killed",
    )


def _plain(value: Any) -> object:
    """What JSON has no notation for: bytes."""
    return {"hex": value.hex()}


def _bytes_again(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if isinstance(value, list):
        return tuple(_bytes_again(part) for part in value)
    return value
