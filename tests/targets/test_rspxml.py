"""The XML documents of stubs: registers and memory maps, whole and damaged."""

from __future__ import annotations

import random
import re

import pytest

from armprobe.errors import ProtocolError
from armprobe.targets.rspxml import MemoryRange, Register, read_description, read_memory_map

SEED, DOCUMENTS = 21, 5_000
CORE = "".join(f'<reg name="{name}" bitsize="32"/>' for name in [*(f"r{n}" for n in range(13)), "sp", "lr", "pc"])
#: as QEMU sends them: xi is a prefix that nobody declared
DOCUMENTS_OF_QEMU = {
    "target.xml": '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>arm'
    '</architecture><xi:include href="arm-core.xml"/><xi:include href="arm-vfp.xml"/></target>',
    "arm-core.xml": '<?xml version="1.0"?>\n<!-- core -->\n<!DOCTYPE feature SYSTEM "gdb-target.dtd">\n'
    f'<feature name="org.gnu.gdb.arm.core">{CORE}<reg name="cpsr" bitsize="32" regnum="25"/></feature>',
    "arm-vfp.xml": '<feature name="org.gnu.gdb.arm.vfp"><reg name="d0" bitsize="64"/><reg name="fpscr" bitsize="32"/>'
    "</feature>",
}
MAP = (
    '<?xml version="1.0"?><!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
    '"http://sourceware.org/gdb/gdb-memory-map.dtd"><memory-map>'
    '<memory type="flash" start="0x08000000" length="0x20000"><property name="blocksize">0x400</property></memory>'
    '<memory type="ram" start="0x20000000" length="20480"/></memory-map>'
)


def test_registers_are_numbered_over_all_documents_and_lie_in_the_order_of_their_numbers():
    description = read_description(DOCUMENTS_OF_QEMU.__getitem__)
    assert description.architecture == "arm"
    registers = description.registers
    assert registers["r0"] == Register("r0", 0, 4, 0)
    assert registers["pc"] == Register("pc", 15, 4, 60)
    assert registers["cpsr"] == Register("cpsr", 25, 4, 64)
    assert registers["d0"] == Register("d0", 26, 8, 68)
    assert registers["fpscr"] == Register("fpscr", 27, 4, 76)


def test_a_memory_map_is_read():
    assert read_memory_map(MAP) == [
        MemoryRange(0x08000000, 0x08020000, "flash"),
        MemoryRange(0x20000000, 0x20005000, "ram"),
    ]


ENTITY = '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
TWICE = {"target.xml": '<a><xi:include href="target.xml"/></a>'}


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({"target.xml": "<a>"}, "the document 'target.xml' of the stub is no XML: no element found: line 1, column 3"),
        ({"target.xml": ENTITY}, "the document 'target.xml' of the stub defines an entity, which none needs"),
        (TWICE, "the description of the target includes 'target.xml' twice, or too many documents"),
        (
            {"target.xml": '<reg name="r0" bitsize="many"/>'},
            "the stub sent 'many' where the number 'bitsize' of a document should be",
        ),
        ({"target.xml": '<reg name="r0"/>'}, "the stub sent None where the number 'bitsize' of a document should be"),
    ],
)
def test_a_document_that_makes_no_sense_is_told(documents, message):
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        read_description(documents.__getitem__)


def test_a_memory_map_beyond_the_address_space_is_told():
    message = "the memory map of the stub goes beyond 32 bits: 0xfffff000, 0x2000 bytes"
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}$"):
        read_memory_map('<memory-map><memory type="ram" start="0xfffff000" length="8192"/></memory-map>')


def test_damaged_documents_end_in_values_or_a_protocol_error():
    draw = random.Random(SEED)
    for case in range(DOCUMENTS):
        name = draw.choice([*DOCUMENTS_OF_QEMU, "map"])
        text = list(MAP if name == "map" else DOCUMENTS_OF_QEMU[name])
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(text))
            text[at : at + draw.randrange(3)] = draw.choice(["", "<", ">", '"', "&", "\0", "é", "9", "x", "/"])
        damaged = "".join(text)
        try:
            if name == "map":
                read_memory_map(damaged)
            else:
                read_description((DOCUMENTS_OF_QEMU | {name: damaged}).__getitem__)
        except (ProtocolError, KeyError):  # a name of a document that does not exist: the stub says so
            pass
        except Exception as error:  # noqa: BLE001
            pytest.fail(f"case {case} of seed {SEED}: {damaged!r}: {error!r}")
