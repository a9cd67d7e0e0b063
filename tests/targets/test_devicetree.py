"""Flattened device trees, read back by a reader written from the specification."""

from __future__ import annotations

import struct

from armprobe.targets.devicetree import flatten
from armprobe.targets.virt import device_tree


def parse(blob: bytes) -> dict[str, object]:
    """A flattened tree as nested dictionaries with properties as bytes."""
    magic, size, structure, strings, reservations, version, compatible, cpu, strings_size, structure_size = (
        struct.unpack_from(">10I", blob)
    )
    assert (magic, size, version, compatible, cpu) == (0xD00DFEED, len(blob), 17, 16, 0)
    assert reservations % 8 == 0
    assert structure % 4 == 0
    assert blob[reservations : reservations + 16] == bytes(16)
    assert structure + structure_size <= strings
    assert strings + strings_size <= size
    position = structure

    def cell() -> int:
        nonlocal position
        position += 4
        return struct.unpack_from(">I", blob, position - 4)[0]

    def text(at: int) -> str:
        return blob[at : blob.index(b"\0", at)].decode()

    def node() -> tuple[str, dict[str, object]]:
        nonlocal position
        name = text(position)
        position += len(name) // 4 * 4 + 4
        content: dict[str, object] = {}
        nodes_began = False
        while True:
            token = cell()
            if token == 3:
                assert not nodes_began
                length, offset = cell(), cell()
                content[text(strings + offset)] = blob[position : position + length]
                position += (length + 3) // 4 * 4
            elif token == 1:
                nodes_began = True
                below, inner = node()
                content[below] = inner
            else:
                assert token == 2
                return name, content

    assert cell() == 1
    name, root = node()
    assert name == ""
    assert cell() == 9
    assert position == structure + structure_size
    return root


def test_tree_reads_back_as_it_was_written() -> None:
    tree = {
        "node@1": {"reg": (1, 0xFFFFFFFF), "empty": None, "inner": {}},
        "number": 7,
        "text": "abc",
        "names": ("a", "bcd"),
        "node@2": {"reg": 2},
    }
    assert parse(flatten(tree)) == {
        "number": b"\0\0\0\x07",
        "text": b"abc\0",
        "names": b"a\0bcd\0",
        "node@1": {"reg": b"\0\0\0\x01\xff\xff\xff\xff", "empty": b"", "inner": {}},
        "node@2": {"reg": b"\0\0\0\x02"},
    }


def test_tree_is_padded_to_the_size_asked_for() -> None:
    blob = flatten({"a": 1}, size=512)
    assert len(blob) == 512
    assert parse(blob) == {"a": b"\0\0\0\x01"}


def test_virt_describes_its_memory_and_console() -> None:
    root = parse(device_tree())
    assert root["memory@40000000"]["reg"] == struct.pack(">4I", 0, 0x40000000, 0, 0x08000000)
    assert root["chosen"]["stdout-path"] == b"/pl011@9000000\0"
    assert root["pl011@9000000"]["clocks"] == root["apb-pclk"]["phandle"] * 2
    assert root["interrupt-parent"] == root["intc@8000000"]["phandle"]
