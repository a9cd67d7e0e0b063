"""The first root file system of a Linux guest: a cpio archive in the kernel's format, compressed.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel ("newc").
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence

_DIRECTORY, _FILE, _LINK = 0o040755, 0o100755, 0o120777


def make_initramfs(files: Mapping[str, bytes], *, links: Mapping[str, str] | None = None) -> bytes:
    """Return an archive with executable `files` by path without a leading slash, and symbolic links to their targets.

    The folders that they lie in come along. Equal arguments give equal bytes.
    """
    entries: list[tuple[str, int, bytes]] = [(folder, _DIRECTORY, b"") for folder in _folders([*files, *(links or {})])]
    entries += [(path, _FILE, data) for path, data in sorted(files.items())]
    entries += [(path, _LINK, target.encode()) for path, target in sorted((links or {}).items())]
    records = [_record(number, path, mode, data) for number, (path, mode, data) in enumerate(entries, 1)]
    return gzip.compress(b"".join(records) + _record(0, "TRAILER!!!", 0, b""), compresslevel=1, mtime=0)


def _folders(paths: Sequence[str]) -> list[str]:
    folders: set[str] = set()
    for path in paths:
        parts = path.split("/")[:-1]
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return sorted(folders)


def _record(inode: int, path: str, mode: int, data: bytes) -> bytes:
    name = path.encode() + b"\0"
    # inode, mode, user, group, links, time, size; devices: of the file, and what it stands for; name's length, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + name) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
