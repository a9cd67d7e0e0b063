"""Files of events, read back: what happened how often, and the values of each argument."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armprobe.errors import UsageError
from armprobe.events.files import SUMMARY_KEY
from armprobe.events.optional import needed_for

READABLE = (".parquet", ".arrow", ".csv", ".ndjson")
_TYPE_KEY = b"armprobe.type"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of an event: its values in order, the elements one after another where it is an array.

    `kind` is its type in the language of kprobe_events, "" where the file does not say; `unreadable` counts the events
    whose memory could not be read, as far as the file tells them from events of other kinds (CSV does not).
    """

    event: str
    name: str
    kind: str
    values: NDArray[Any]
    unreadable: int


@dataclass(frozen=True, slots=True)
class Recording:
    """What is in a file. `places` are (event, symbol, count), the most frequent first; `summary` is of the run."""

    places: Sequence[tuple[str, str, int]]
    arguments: Sequence[Argument]
    summary: Mapping[str, Any]

    @property
    def events(self) -> int:
        return sum(count for _, _, count in self.places)


def load(path: Path) -> Recording:
    """Read a file that `armprobe record` wrote, or `armprobe trace -o`.

    Raises UsageError for a file of another kind, MissingDependency without pyarrow (NDJSON does not need it), OSError.
    """
    if path.suffix not in READABLE:
        hint = "open it in https://ui.perfetto.dev" if path.suffix == ".pftrace" else "the ending says the format"
        raise UsageError(f"wanted a file name that ends in {', '.join(READABLE)}, got {path.name!r}", hint=hint)
    if path.suffix == ".ndjson":
        return _load_ndjson(path)
    with needed_for(f"a {path.suffix} file", extra="arrow"):
        import pyarrow as pa
    with path.open("rb") as file:
        try:
            table, summary = _READERS[path.suffix](file)
            found = table.select(["event", "symbol"]).group_by(["event", "symbol"]).aggregate([([], "count_all")])
        except (pa.ArrowException, KeyError) as error:
            raise _no_recording(path, str(error)) from error
    places = Counter({
        (event, symbol): count
        for event, symbol, count in zip(*(found[name].to_pylist() for name in ("event", "symbol", "count_all")),
                                        strict=True)
    })  # fmt: skip
    return Recording(_most_common(places), _arguments(table), summary)


def _no_recording(path: Path, evidence: str) -> UsageError:
    return UsageError(
        f"{path} holds no events that armprobe recorded", evidence=evidence.splitlines()[0] if evidence else "",
        hint="`armprobe record -o FILE` makes such files",
    )  # fmt: skip


def _most_common(places: Counter[tuple[str, str]]) -> list[tuple[str, str, int]]:
    return [(event, symbol, count) for (event, symbol), count in places.most_common()]


def _read_parquet(file: Any) -> tuple[Any, dict[str, Any]]:
    from pyarrow.parquet import ParquetFile

    parquet = ParquetFile(file)
    return parquet.read(), json.loads((parquet.metadata.metadata or {}).get(SUMMARY_KEY, b"{}"))


def _read_arrow(file: Any) -> tuple[Any, dict[str, Any]]:
    from pyarrow import ipc

    reader = ipc.open_file(file)
    metadata: Mapping[bytes, bytes] = {}
    if reader.num_record_batches:
        metadata = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)[1] or {}
    return reader.read_all(), json.loads(metadata.get(SUMMARY_KEY, b"{}"))


def _read_csv(file: Any) -> tuple[Any, dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import csv

    # Only what is not there is null: a string may be "null", or empty.
    nulls: dict[str, Any] = {"null_values": [""], "strings_can_be_null": True, "quoted_strings_can_be_null": False}
    table = csv.read_csv(file, convert_options=csv.ConvertOptions(**nulls))
    # No argument is a fraction: it has numbers beyond those of int64.
    wide = {name: pa.uint64() for name in table.column_names if pa.types.is_floating(table.schema.field(name).type)}
    if wide:
        file.seek(0)
        table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=wide, **nulls))
    return table, {}


_READERS = {".parquet": _read_parquet, ".arrow": _read_arrow, ".csv": _read_csv}


def _arguments(table: Any) -> list[Argument]:
    import pyarrow as pa
    import pyarrow.compute as pc

    present = {
        name: len(table) - table[name].null_count
        for name in table.column_names
        if pa.types.is_struct(table.schema.field(name).type)
    }
    arguments = []
    flat = table.flatten()
    for place, field in enumerate(flat.schema):
        event, dot, name = field.name.rpartition(".")
        if dot:
            column = flat[place].drop_null()
            unreadable = present[event] - len(column) if event in present else 0
            if pa.types.is_list(field.type):
                column = pc.list_flatten(column).drop_null()
            kind = (field.metadata or {}).get(_TYPE_KEY, b"").decode()
            arguments.append(Argument(event, name, kind, column.to_numpy(), unreadable))
    return arguments


def _load_ndjson(path: Path) -> Recording:
    places: Counter[tuple[str, str]] = Counter()
    values: dict[tuple[str, str], list[Any]] = {}
    unreadable: Counter[tuple[str, str]] = Counter()
    summary: dict[str, Any] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                facts = json.loads(line)
                if "summary" in facts:
                    summary = facts["summary"]
                    continue
                event = facts["event"]
                places[event, facts["symbol"]] += 1
                for name, value in facts["values"].items():
                    known = values.setdefault((event, name), [])
                    if value is None:
                        unreadable[event, name] += 1
                    elif isinstance(value, list):
                        known += [element for element in value if element is not None]
                    else:
                        known.append(value)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise _no_recording(path, f"line {number}: {line.strip()[:80]}") from error
    arguments = [
        Argument(event, name, "", _to_numpy(found), unreadable[event, name]) for (event, name), found in values.items()
    ]
    return Recording(_most_common(places), arguments, summary)


def _to_numpy(values: Sequence[Any]) -> NDArray[Any]:
    if any(isinstance(value, str) for value in values):
        return np.array(values, object)
    return np.array(values, np.uint64 if max(values, default=0) >> 63 else np.int64)
