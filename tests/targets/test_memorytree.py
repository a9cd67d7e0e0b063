import pytest

from armprobe.errors import ProtocolError
from armprobe.targets.memorytree import Part, read_tree, seen_by_processors, views_of_processors

#: what QEMU 7.2 prints of `virt,secure=on`, shortened
SECURE = """FlatView #0
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 AS "cpu-memory-1", root: system
 Root memory region: system
  0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0
  0000000009000000-0000000009000fff (prio 0, i/o): pl011
  0000000040000000-0000000047ffffff (prio 0, ram): mach-virt.ram
  0000008000000000-000000ffffffffff (prio 0, i/o): gpex_mmio_window @0000008000000000

FlatView #1
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-000000000000ffff (prio -1000, i/o): io

FlatView #2
 AS "cpu-secure-memory-0", root: secure-memory
 Root memory region: secure-memory
  0000000000000000-0000000003ffffff (prio 0, romd): virt.flash0
  0000000009000000-0000000009000fff (prio 0, i/o): pl011
  000000000e000000-000000000effffff (prio 0, ram): virt.secure-ram
  0000000040000000-0000000043ffffff (prio 0, nv-ram): mach-virt.ram KVM

FlatView #3
 AS "gpex-root", root: bus master container
 Root memory region: (none)
  No rendered FlatView

"""
RAM = Part(0x40000000, 0x48000000, "ram", "mach-virt.ram")


def test_each_address_space_has_its_parts():
    spaces = read_tree(SECURE.replace("\n", "\r\n"))
    assert spaces["memory"] == spaces["cpu-memory-1"] != spaces["cpu-secure-memory-0"]
    assert spaces["memory"][2] == RAM
    assert [part.kind for part in spaces["memory"]] == ["flash", "device", "ram", "device"]
    assert spaces["gpex-root"] == ()
    assert len(views_of_processors(spaces)) == 2


def test_what_differs_between_processors_is_left_out():
    names = [(part.name, part.start) for part in seen_by_processors(read_tree(SECURE.replace(" KVM", "")))]
    assert names == [("virt.flash0", 0), ("pl011", 0x9000000), ("mach-virt.ram", 0x40000000)]
    assert seen_by_processors(read_tree(SECURE.replace(" KVM", "")))[2].end == 0x44000000


def test_the_view_of_the_machine_is_taken_where_none_is_a_processors():
    assert seen_by_processors(read_tree(SECURE.replace("cpu-", "dma-"))) == read_tree(SECURE)["memory"]
    assert seen_by_processors(read_tree("")) == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("i/o): pl011", "mystery): pl011", "has a line of an unknown kind: '0000000009000000-"),
        ("0000000009000000-0000000009000fff (prio 0, i/o)", "0000000001000000-0000000009000fff (prio 0, i/o)",
         "is not in order"),
        ("FlatView #1", "Flat view #1", "has a line of an unknown kind: 'Flat view #1'"),
    ],
)  # fmt: skip
def test_what_qemu_does_not_print_is_refused(old: str, new: str, message: str):
    with pytest.raises(ProtocolError, match=message):
        read_tree(SECURE.replace(old, new))
