import pytest
from tests.symbols.kernel_memory import HEAD, NOP, RETURN, WALKER, Memory, Module

from armprobe.errors import Refused
from armprobe.symbols.image import Symbol
from armprobe.symbols.kernelmodules import Section, find_layout, find_list, read_list, read_module

ONE = Module(
    "8250_one", 0xBF000000, [NOP, RETURN, 0x12345678, NOP, RETURN],
    symbols=[("$a", 0, "t"), ("first", 0, "T"), ("$d", 8, "t"), ("second", 12, "t"), ("$a", 12, "t")],
    sections={".text": 0, ".exit.text": 12},
    tables={"__jump_table": [0xBF000000, 0xBF000004, 3]},
)  # fmt: skip
TWO = Module("two", 0xBF010000, [NOP, RETURN], symbols=[("$a", 0, "t"), ("only", 0, "t")])
layouts = pytest.mark.parametrize("later", [False, True], ids=["one memory", "memory by kinds"])


def modules_of(memory):
    links = read_list(memory.read, find_list(memory.read, memory.functions))
    layout = find_layout(links)
    return [read_module(memory.read, link, layout) for link in links]


@layouts
def test_names_code_and_sections_of_all_modules_are_found(later):
    one, two = modules_of(Memory(ONE, TWO, later=later))
    assert (one.name, one.address, one.start, one.end) == ("8250_one", 0xBF004040, 0xBF000000, 0xBF001000)
    assert one.symbols == (Symbol("first", 0xBF000000, 12), Symbol("second", 0xBF00000C, 0xFF4))
    assert one.marks == ((0xBF000000, "a"), (0xBF000008, "d"), (0xBF00000C, "a"))
    assert one.code_sections == [
        Section(".text", 0xBF000000, 0xBF00000C), Section(".exit.text", 0xBF00000C, 0xBF001000)
    ]  # fmt: skip
    assert one.data["__jump_table"][:12] == bytes.fromhex("000000bf040000bf03000000")
    assert [symbol.name for symbol in two.symbols] == ["only"]


def test_kernel_without_modules_has_an_empty_list():
    memory = Memory()
    assert find_list(memory.read, memory.functions) == HEAD
    assert read_list(memory.read, HEAD) == []


def test_kernel_whose_functions_name_no_list_or_several_is_refused():
    memory = Memory(ONE)
    with pytest.raises(Refused, match=r"^the kernel's list of modules was not found$"):
        find_list(memory.read, {})
    # Another list in the same function.
    memory.words(WALKER + 8, [0xE3000010, 0xE34C0140])
    memory.words(0xC1400010, [0xC1400010, 0xC1400010])
    with pytest.raises(Refused, match="not found"):
        find_list(memory.read, memory.functions)


@pytest.mark.parametrize("place", [HEAD + 4, ONE.address + 8, TWO.address + 8])
def test_list_whose_links_do_not_agree_is_refused(place):
    memory = Memory(ONE, TWO)
    memory.words(place, [0xBF000000])
    with pytest.raises(Refused, match=r"^the kernel's list of modules is damaged$"):
        read_list(memory.read, HEAD)


@layouts
@pytest.mark.parametrize(
    "offset", [0x200, 0x100, 0x114], ids=["symbols elsewhere", "base of no page", "no pointer behind the memory"]
)
def test_modules_that_are_described_otherwise_are_refused(later, offset):
    memory = Memory(ONE, TWO, later=later)
    offset = {0x114: 0x108}.get(offset, offset) if later else offset
    memory.words(TWO.address + offset, [0xBF000004])
    with pytest.raises(Refused, match=r"^how the kernel describes its modules is not certain$"):
        modules_of(memory)


@pytest.mark.parametrize("damage", [(20, 1000), (24 + 4, 0o600), (24 + 36 + 4, 0o600), (24 + 36 + 32, 0)])
def test_sections_that_are_described_otherwise_are_refused(damage):
    """Their number, who may read one, and the address of the module itself."""
    memory = Memory(ONE, TWO)
    offset, word = damage
    memory.words(0xC2000000 + (TWO.base & 0xFFFFFF) + offset, [word])
    with pytest.raises(Refused, match=r"^how the kernel describes its module two is not certain$"):
        modules_of(memory)
