"""The XML documents of the GDB remote protocol: which registers a target has, and which memory.

Source: the GDB manual, appendix "Target Descriptions" and section "Memory Map Format".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.parsers import expat

from armprobe.errors import ProtocolError

_MOST_DOCUMENTS = 64
_MOST_REGISTERS = 4096

Attributes = dict[str, str]


@dataclass(frozen=True, slots=True)
class Register:
    """A register: its number in the packets `p` and `P`, and where its bytes are in the block of `g`."""

    name: str
    number: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Description:
    """`target.xml`: the architecture ("" when it says nothing) and the registers by name."""

    architecture: str
    registers: dict[str, Register]


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """A line of the memory map: [start, end), `kind` is "ram", "rom" or "flash"."""

    start: int
    end: int
    kind: str


#: r0 to r15 and cpsr, as GDB numbers them when the stub says nothing: f0 to f7 (12 bytes each) and fps lie before cpsr
LEGACY = Description(
    "",
    {
        name: Register(name, number, 4, offset)
        for name, number, offset in [
            *((f"r{n}" if n < 13 else ("sp", "lr", "pc")[n - 13], n, 4 * n) for n in range(16)),
            ("cpsr", 25, 16 * 4 + 8 * 12 + 4),
        ]
    },
)


def read_description(load: Callable[[str], str]) -> Description:
    """Read `target.xml` and what it includes; `load(name)` returns a document. Raises ProtocolError."""
    architecture = ""
    found: list[tuple[str, int, int]] = []
    number = 0
    for tag, attributes, text in _elements(load, "target.xml", []):
        if tag == "architecture":
            architecture = text.strip()
        elif tag == "reg":
            # Numbers go up by one from register to register, over all documents, unless one is given.
            number = _decimal(attributes, "regnum", number)
            found.append((attributes.get("name", ""), number, _decimal(attributes, "bitsize") // 8))
            number += 1
            if len(found) > _MOST_REGISTERS:
                raise ProtocolError(f"the stub describes more than {_MOST_REGISTERS} registers")
    registers = {}
    offset = 0
    for name, number, size in sorted(found, key=lambda register: register[1]):
        registers[name] = Register(name, number, size, offset)
        offset += size
    return Description(architecture, registers)


def read_memory_map(document: str) -> list[MemoryRange]:
    """Read a memory map. Raises ProtocolError."""
    ranges = []
    for tag, attributes, _ in _parse(document, "memory map"):
        if tag == "memory":
            start, length = _decimal(attributes, "start"), _decimal(attributes, "length")
            if start + length > 1 << 32:
                raise ProtocolError(f"the memory map of the stub goes beyond 32 bits: {start:#x}, {length:#x} bytes")
            ranges.append(MemoryRange(start, start + length, attributes.get("type", "")))
    return ranges


def _elements(load: Callable[[str], str], name: str, loaded: list[str]) -> Iterator[tuple[str, Attributes, str]]:
    if name in loaded or len(loaded) == _MOST_DOCUMENTS:
        raise ProtocolError(f"the description of the target includes {name!r} twice, or too many documents")
    loaded.append(name)
    for tag, attributes, text in _parse(load(name), name):
        if tag == "xi:include":
            yield from _elements(load, attributes.get("href", ""), loaded)
        else:
            yield tag, attributes, text


def _parse(document: str, name: str) -> list[tuple[str, Attributes, str]]:
    """All elements, in order, with the text right within them.

    QEMU does not declare the namespace of `xi:include`, which parsers that know of namespaces refuse.
    """
    elements: list[tuple[str, Attributes, list[str]]] = []
    stack: list[list[str]] = []

    def start(tag: str, attributes: Attributes) -> None:
        stack.append([])
        elements.append((tag, attributes, stack[-1]))

    def text(data: str) -> None:
        if stack:
            stack[-1].append(data)

    def entity(*_: object) -> None:
        raise ProtocolError(f"the document {name!r} of the stub defines an entity, which none needs")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _tag: stack.pop()
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError) as error:
        raise ProtocolError(f"the document {name!r} of the stub is no XML: {error}") from None
    return [(tag, attributes, "".join(parts)) for tag, attributes, parts in elements]


def _decimal(attributes: Attributes, name: str, default: int | None = None) -> int:
    """The number of an attribute, decimal or 0x; ProtocolError when it is missing or not sensible."""
    value = attributes.get(name)
    if value is None and default is not None:
        return default
    try:
        found = int(value or "", 0)
    except ValueError:
        found = -1
    if not 0 <= found <= 1 << 32:
        raise ProtocolError(f"the stub sent {value!r} where the number {name!r} of a document should be")
    return found
