"""Events of which it is known at the end only which probes they are of, in a file that needs to know at its begin."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from armprobe.events.batch import Batch
from armprobe.events.files import EventFile

#: of a batch: the number of its first record, bytes of data, records
_HEAD = struct.Struct("<QII")


class SpooledFile:
    """Keeps records in a temporary file beside `path` until its end: an `EventFile`.

    `create` then makes the file that they are for. It is called at once, too, so that what it refuses is told before
    anything is recorded.
    """

    def __init__(self, path: Path, create: Callable[[], EventFile]) -> None:
        create().close({})
        self._create = create
        self._spool = TemporaryFile(dir=path.parent)  # noqa: SIM115 - up to `close`

    def write(self, first: int, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._spool.write(_HEAD.pack(first, len(batch.data), len(batch)) + batch.data + batch.starts.tobytes())
            first += len(batch)

    def close(self, summary: Mapping[str, Any]) -> None:
        with self._spool:
            file = self._create()
            for first, batch in self._read():
                file.write(first, [batch])
            file.close(summary)

    def _read(self) -> Iterator[tuple[int, Batch]]:
        self._spool.seek(0)
        while head := self._spool.read(_HEAD.size):
            first, size, count = _HEAD.unpack(head)
            data, starts = self._spool.read(size), array("I")
            starts.frombytes(self._spool.read(count * starts.itemsize))
            yield first, Batch(data, starts)
