"""Names in a program and its shared objects."""

from __future__ import annotations

import pytest

from armprobe.errors import Refused, UsageError
from armprobe.symbols.image import Image, Segment, Symbol
from armprobe.symbols.location import resolve
from armprobe.symbols.objects import LoadedImage, load_object, table_of


def loaded(name: str, bias: int, *symbols: Symbol, main: bool = False) -> LoadedImage:
    text = Segment(0x1000, bytes(0x100), 0x100, writable=False)
    data = Segment(0x2000, bytes(0x100), 0x100, executable=False)
    return LoadedImage(name, Image(name, 0x1000, (text, data), symbols).rebased(bias), bias, main)


TABLE = table_of([
    loaded("prog", 0, Symbol("main", 0x1000, 0x20), Symbol("free", 0x1020, 0x20), main=True),
    loaded("libc.so.6", 0x40000000, Symbol("malloc", 0x1000, 0x40), Symbol("free", 0x1040, 0x40)),
    loaded("libm.so.6", 0x50000000, Symbol("ns::sin", 0x1000, 0x40), Symbol("table", 0x2000, 4, function=False)),
])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("main", 0x1000, "main"),
        ("prog:main+4", 0x1004, "main+0x4"),
        ("malloc", 0x40001000, "libc.so.6:malloc"),
        ("libc.so.6:free+0x10", 0x40001050, "libc.so.6:free+0x10"),
        ("/lib/arm-linux-gnueabi/libc.so.6:malloc", 0x40001000, "libc.so.6:malloc"),
        ("libc*:malloc", 0x40001000, "libc.so.6:malloc"),
        ("ns::sin", 0x50001000, "libm.so.6:ns::sin"),
        ("libm.so.6:ns::sin", 0x50001000, "libm.so.6:ns::sin"),
        ("libm.so.6:0x1080", 0x50001080, "libm.so.6:0x1080"),
        ("prog:0x1080", 0x1080, "0x00001080"),
    ],
)
def test_places_are_found_in_the_file_that_is_named_or_in_the_only_one_that_has_them(text, address, name):
    (place,) = resolve(text, TABLE)
    assert (place.address, place.name) == (address, name)
    assert resolve(name, TABLE)[0].address == address


def test_a_pattern_is_for_one_file_or_for_all():
    assert [place.name for place in resolve("libc.so.6:*", TABLE)] == ["libc.so.6:malloc", "libc.so.6:free"]
    assert [place.name for place in resolve("f*", TABLE)] == ["free", "libc.so.6:free"]


def test_a_name_that_several_files_have_is_asked_back():
    with pytest.raises(
        UsageError, match=r"^'free' is ambiguous: free at 0x00001020, libc.so.6:free at 0x40001040$"
    ) as error:
        resolve("free", TABLE)
    assert error.value.hint == "name the file as well: prog:free or libc.so.6:free"


def test_a_name_that_a_file_does_not_have_is_looked_for_there_alone():
    with pytest.raises(UsageError, match=r"^no symbol is called 'libc.so.6:mallok'$") as error:
        resolve("libc.so.6:mallok", TABLE)
    assert error.value.hint == "did you mean libc.so.6:malloc?"


def test_a_file_that_is_not_loaded_may_be_later():
    with pytest.raises(UsageError, match=r"^no symbol is called 'libz.so.1:crc32'$") as error:
        resolve("libz.so.1:crc32", TABLE)
    assert error.value.hint == (
        "libz.so.1 is not loaded yet, or under another name: --pending waits for what is loaded later"
    )


def test_a_pattern_for_a_file_that_is_not_loaded_says_so():
    with pytest.raises(UsageError, match=r"^no function matches 'libz\*.so:\*'$") as error:
        resolve("libz*.so:*", TABLE)
    assert error.value.hint.startswith("libz*.so is not loaded yet, or under another name")


def test_data_of_a_library_is_no_place_for_a_probe():
    with pytest.raises(Refused, match=r"^libm.so.6:table \(0x50002000\) is data, not code: table is a variable$"):
        resolve("libm.so.6:table", TABLE)


def test_a_file_that_is_not_there_has_no_names():
    assert load_object("/lib/text", b"no ELF file", bias=0x1000) is None
    assert load_object("/lib/missing", None, bias=0x1000) is None


def test_the_page_that_the_kernel_shares_with_all_processes_takes_no_probe():
    assert TABLE.refusal(0xFFFF0FE0).startswith("in the page of the kernel's vectors and helpers")
    assert TABLE.refusal(0xFFFFFFFC)
    assert not TABLE.refusal(0xFFFEFFFC)


def test_an_address_outside_of_all_files_has_no_name():
    table = table_of([loaded("prog", 0, Symbol("_end", 0x2100), main=True)])
    assert (table.describe(0x2100), table.describe(0x2104)) == ("_end", "0x00002104")
