"""Debug information that stands in a file of its own, as distributions keep it: found by build ID or by debug link."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: where Debian and others install such files
_SYSTEM = Path("/usr/lib/debug")


def has_debug_information(file: Any) -> bool:
    """Whether an ELF file has entries of its own."""
    return any(file.get_section_by_name(name) is not None for name in (".debug_info", ".zdebug_info"))


def find_debug_file(file: Any, path: Path) -> bytes | None:
    """The debug file that belongs to the program `file`, which was read from `path`; None if there is none.

    Looked at are .build-id/ below /usr/lib/debug, of the system and of the tree that the program is in, and the file
    that .gnu_debuglink names, beside the program, in .debug/ there, and below /usr/lib/debug. A file with another build
    ID or another checksum is not taken.
    """
    from elftools.elf.elffile import ELFFile

    path = path.resolve()
    identity, link = _build_id(file), _debug_link(file)
    for candidate in _candidates(path, identity, link):
        if candidate == path or not candidate.is_file():
            continue
        data = candidate.read_bytes()
        if data[:4] != b"\x7fELF":
            continue
        found = _build_id(ELFFile(io.BytesIO(data))) if identity else ""
        if (identity and found == identity) or (not identity and link and zlib.crc32(data) == link[1]):
            return data
    return None


def _candidates(path: Path, identity: str, link: tuple[str, int] | None) -> Iterator[Path]:
    trees = [_SYSTEM, *(parent / "usr/lib/debug" for parent in path.parents)]
    if identity:
        yield from (tree / ".build-id" / identity[:2] / f"{identity[2:]}.debug" for tree in trees)
    if link is not None:
        yield path.parent / link[0]
        yield path.parent / ".debug" / link[0]
        for tree in trees:
            yield tree / path.parent.relative_to("/") / link[0]


def _build_id(file: Any) -> str:
    section = file.get_section_by_name(".note.gnu.build-id")
    notes = section.iter_notes() if section is not None and hasattr(section, "iter_notes") else ()
    return next((str(note["n_desc"]) for note in notes if note["n_type"] == "NT_GNU_BUILD_ID"), "")


def _debug_link(file: Any) -> tuple[str, int] | None:
    """(name, CRC-32) of .gnu_debuglink."""
    section = file.get_section_by_name(".gnu_debuglink")
    if section is None:
        return None
    data = section.data()
    name = data.split(b"\0")[0]
    return name.decode("utf-8", "replace"), int.from_bytes(data[-4:], "little")
