"""Flattened device trees: what tells firmware and kernels which devices a board has.

Format: Devicetree Specification 0.4, chapter 5.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

#: None for a property that is just there; an int is one 32-bit cell.
Property: TypeAlias = str | int | Sequence[str] | Sequence[int] | None
#: Properties, and nodes below.
Node: TypeAlias = Mapping[str, "Property | Node"]

_MAGIC, _VERSION, _COMPATIBLE_VERSION = 0xD00DFEED, 17, 16
_BEGIN_NODE, _END_NODE, _PROPERTY, _END = 1, 2, 3, 9
_HEADER_SIZE, _RESERVATIONS_SIZE = 40, 16


def flatten(root: Node, *, size: int = 0) -> bytes:
    """Write the tree below `root`, padded with zeros to `size` bytes: a boot loader may add to it in place."""
    names: dict[str, int] = {}
    structure = _node("", root, names) + struct.pack(">I", _END)
    strings = b"".join(name.encode() + b"\0" for name in names)
    at_structure = _HEADER_SIZE + _RESERVATIONS_SIZE
    at_strings = at_structure + len(structure)
    size = max(size, at_strings + len(strings))
    header = struct.pack(
        ">10I", _MAGIC, size, at_structure, at_strings, _HEADER_SIZE, _VERSION, _COMPATIBLE_VERSION, 0, len(strings),
        len(structure),
    )  # fmt: skip
    return (header + bytes(_RESERVATIONS_SIZE) + structure + strings).ljust(size, b"\0")


def _node(name: str, node: Node, names: dict[str, int]) -> bytes:
    """One node; properties come before nodes below it, whatever their order in the mapping (5.4.1)."""
    properties = b"".join(_property(key, value, names) for key, value in node.items() if not isinstance(value, Mapping))
    below = b"".join(_node(key, value, names) for key, value in node.items() if isinstance(value, Mapping))
    return (
        struct.pack(">I", _BEGIN_NODE)
        + _padded(name.encode() + b"\0")
        + properties
        + below
        + struct.pack(">I", _END_NODE)
    )


def _property(name: str, value: Property, names: dict[str, int]) -> bytes:
    items = () if value is None else (value,) if isinstance(value, (str, int)) else value
    content = b"".join(item.encode() + b"\0" if isinstance(item, str) else struct.pack(">I", item) for item in items)
    # Names are stored once, each where the ones before it end.
    offset = names.setdefault(name, sum(len(known) + 1 for known in names))
    return struct.pack(">III", _PROPERTY, len(content), offset) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
