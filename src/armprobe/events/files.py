"""Files of events, in the format that the end of their name says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from armprobe.errors import UsageError
from armprobe.events.batch import Batch, Origin
from armprobe.events.optional import needed_for
from armprobe.events.record import split_header
from armprobe.events.timebase import TimeBase
from armprobe.events.values import Describe, Value, unpack, unpack_common

if TYPE_CHECKING:
    from armprobe.events.arrow import Converter

#: the key of the summary in the metadata of a file
SUMMARY_KEY = b"armprobe"
#: rows of a row group: many enough for good compression, and few for a reader that skips
_ROWS = 1 << 17


class EventFile(Protocol):
    """A file that events are written to."""

    def write(self, first: int, batches: Sequence[Batch]) -> None:
        """Write the events of records; `first` is the number of the first."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write what was kept back, and the summary (JSON) where the format has a place for it, and close the file."""


def create(
    path: Path, origins: Mapping[int, Origin], *, describe: Describe, timebase: TimeBase | None = None
) -> EventFile:
    """Make a file for the events of these probes: .parquet, .arrow, .csv, .ndjson, or .pftrace (Perfetto).

    `timebase` is the clock of the target, if it has one.
    Raises UsageError for another ending, MissingDependency without the library that writes it, OSError.
    """
    match path.suffix:
        case ".ndjson":
            return NdjsonFile(path.open("wb"), origins, describe, timebase)
        case ".pftrace":
            with needed_for("a Perfetto trace", extra="perfetto"):
                from armprobe.events.perfetto import PerfettoFile
            return PerfettoFile(path.open("wb"), origins, describe=describe, timebase=timebase)
        case ".parquet" | ".arrow" | ".csv":
            with needed_for(f"a {path.suffix} file", extra="arrow"):
                from armprobe.events.arrow import Converter
            converter = Converter(origins, describe=describe, timebase=timebase)
            return _OPENERS[path.suffix](path.open("wb"), converter)
    raise UsageError(
        f"wanted a file name that ends in {', '.join(SUFFIXES)}, got {path.name!r}",
        hint="the ending says the format: Parquet for pandas, Polars and DuckDB, pftrace for ui.perfetto.dev",
    )


def event_line(
    *, group: str, event: str, number: int, address: int, place: str, common: Mapping[str, Value],
    values: Mapping[str, Value],
) -> str:  # fmt: skip
    """An event as a line of NDJSON."""
    return json.dumps({
        "event": event,
        "group": group,
        "number": number,
        **common,
        "address": f"0x{address:08x}",
        "symbol": place,
        "values": values,
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class NdjsonFile:
    """Writes a JSON object a line: each event, then `{"summary": ...}`."""

    file: IO[bytes]
    origins: Mapping[int, Origin]
    describe: Describe
    timebase: TimeBase | None = None

    def write(self, first: int, batches: Sequence[Batch]) -> None:
        for number, record in enumerate((record for batch in batches for record in batch), first):
            origin = self.origins[split_header(int.from_bytes(record[:4], "little"))[0]]
            values = unpack(origin.layout, record, describe=self.describe)
            line = event_line(
                group=origin.group, event=origin.event, number=number, address=origin.address, place=origin.place,
                common=unpack_common(origin.layout, record, self.timebase), values=values,
            )  # fmt: skip
            self.file.write(line.encode() + b"\n")

    def close(self, summary: Mapping[str, Any]) -> None:
        self.file.write(json.dumps({"summary": summary}).encode() + b"\n")
        self.file.close()


@dataclass(slots=True)
class TableFile:
    """Writes Arrow tables by `write_table`; `finish` ends the file."""

    file: IO[bytes]
    converter: Converter
    write_table: Callable[[Any], object]
    finish: Callable[[bytes], object]
    #: records that make no row group yet, and the number of the first
    pending: list[Batch] = field(default_factory=list)
    first: int = 0

    def write(self, first: int, batches: Sequence[Batch]) -> None:
        if not self.pending:
            self.first = first
        self.pending += batches
        if sum(map(len, self.pending)) >= _ROWS:
            self._flush()

    def close(self, summary: Mapping[str, Any]) -> None:
        self._flush()
        self.finish(json.dumps(summary).encode())
        self.file.close()

    def _flush(self) -> None:
        if self.pending:
            self.write_table(self.converter.table(self.pending, self.first))
            self.pending = []


def _open_parquet(file: IO[bytes], converter: Converter) -> TableFile:
    from pyarrow.parquet import ParquetWriter

    writer = ParquetWriter(file, converter.schema, compression="zstd")

    def finish(summary: bytes) -> None:
        writer.add_key_value_metadata({SUMMARY_KEY: summary})
        writer.close()

    return TableFile(file, converter, writer.write_table, finish)


def _open_arrow(file: IO[bytes], converter: Converter) -> TableFile:
    from pyarrow import ipc

    writer = ipc.new_file(file, converter.schema)

    def finish(summary: bytes) -> None:
        # The schema's metadata stands at the start of the file: what is known at the end goes with an empty batch.
        writer.write_batch(converter.record_batch(Batch(), 0), custom_metadata={SUMMARY_KEY: summary})
        writer.close()

    return TableFile(file, converter, writer.write_table, finish)


def _open_csv(file: IO[bytes], converter: Converter) -> TableFile:
    from pyarrow.csv import CSVWriter

    from armprobe.events.arrow import flatten

    writer = CSVWriter(file, flatten(converter.schema.empty_table()).schema)
    return TableFile(file, converter, lambda table: writer.write_table(flatten(table)), lambda _summary: writer.close())


_OPENERS = {".parquet": _open_parquet, ".arrow": _open_arrow, ".csv": _open_csv}
SUFFIXES = (*_OPENERS, ".ndjson", ".pftrace")
