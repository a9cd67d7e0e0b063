"""Large pieces of physical memory, which QEMU writes to a file faster than its stub sends them.

It takes an emulator that runs on this computer and may write where we may: where it does not, the copy is left out, and
the stub is asked as for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from armprobe.errors import TargetError, TargetFault, TargetLost
from armprobe.targets.interrupt import hold_interrupt

#: pieces of so many bytes are worth a file
WORTH = 1 << 17
#: how much of its beginning and its end a copy is compared by
_COMPARED = 256
_COMMAND = 'pmemsave 0x{address:x} {size} "{path}"'
_CANNOT_BE_QUOTED = '"\\'


class EmulatorCopies:
    """Copies made by `monitor`, which has the emulator execute a command; `read` reads ranges through the stub."""

    def __init__(
        self, monitor: Callable[[str], str], read: Callable[[Sequence[tuple[int, int]]], Sequence[bytes]]
    ) -> None:
        self._monitor = monitor
        self._read = read
        #: until it made none
        self._makes_copies = True

    def read(self, address: int, size: int, *, seen_at: int | None = None) -> bytes | None:
        """Return `size` bytes, at least `WORTH`, of the memory of a target that stands still; None without a copy.

        `address` is a physical one; the stub finds the memory at `seen_at` (default: at `address`, too).
        """
        if not self._makes_copies:
            return None
        with suppress(OSError, TargetFault), TemporaryDirectory(prefix="armprobe-copy-") as folder, hold_interrupt():
            data = self._copy(address, size, Path(folder) / "memory")
            seen = address if seen_at is None else seen_at
            ends = [(seen, _COMPARED), (seen + size - _COMPARED, _COMPARED)]
            # An emulator elsewhere has no such folder; one that counts addresses otherwise would be seen here.
            if len(data) == size and [data[:_COMPARED], data[-_COMPARED:]] == list(self._read(ends)):
                return data
        self._makes_copies = False
        return None

    def _copy(self, address: int, size: int, path: Path) -> bytes:
        if any(character in str(path) for character in _CANNOT_BE_QUOTED):
            return b""
        try:
            self._monitor(_COMMAND.format(address=address, size=size, path=path))
        except TargetLost:
            raise
        except TargetError:
            return b""
        return path.read_bytes()
