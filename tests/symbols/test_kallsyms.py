import random
import struct

import pytest

from armprobe.errors import UsageError
from armprobe.symbols.image import Symbol
from armprobe.symbols.kallsyms import find_banner, read_tables, read_text

BASE = 0xC0E00000
RELATIVE = 0xC0300000


def tables(symbols, *, layout="6.1", relative=RELATIVE, damage=b""):
    """The tables of a kernel with (address, type and name) `symbols`, as scripts/kallsyms lays them out."""
    tokens = [bytes([code]) for code in range(256)]
    tokens[0x01], tokens[0x02], tokens[0x80] = b"do_", b"Tsys_", b"_very_long_name"
    tokens[0] = b"t_"
    table = b"".join(token + b"\0" for token in tokens)
    index = b"".join(struct.pack("<H", sum(len(token) + 1 for token in tokens[:number])) for number in range(256))

    def compressed(text):
        for number in (0x80, 0x02, 0x01, 0x00):
            text = text.replace(tokens[number], bytes([number]))
        return (bytes([len(text)]) if len(text) < 0x80 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])) + text

    names = [compressed(text.encode()) for _, text in symbols]
    markers = [sum(map(len, names[:number])) for number in range(0, len(names), 256)]
    parts = {
        "offsets": b"".join(struct.pack("<I", address - relative) for address, _ in symbols),
        "relative": struct.pack("<I", relative),
        "count": struct.pack("<I", len(symbols)),
        "names": b"".join(names),
        "markers": b"".join(struct.pack("<I", marker) for marker in markers),
        "order": b"".join(struct.pack(">I", number)[1:] for number in reversed(range(len(symbols)))),
        "tokens": table,
        "index": index,
    }
    order = {
        "6.1": ["offsets", "relative", "count", "names", "markers", "tokens", "index"],
        "6.2": ["offsets", "relative", "count", "names", "markers", "order", "tokens", "index"],
        "6.4": ["count", "names", "markers", "tokens", "index", "offsets", "relative", "order"],
    }[layout]
    noise = random.Random(1).randbytes(4096)
    return noise + b"".join(parts[name] + bytes(-len(parts[name]) % 4) for name in order if name != damage) + noise


SYMBOLS = [(RELATIVE + 12 * number, f"{'tT'[number % 2]}do_thing_{number * number}") for number in range(1500)]


@pytest.mark.parametrize("layout", ["6.1", "6.2", "6.4"])
def test_symbols_are_found_in_the_tables_of(layout):
    found = read_tables(tables(SYMBOLS, layout=layout))
    assert [(symbol.address, symbol.name) for symbol in found] == [(address, name[1:]) for address, name in SYMBOLS]
    assert {symbol.size for symbol in found[:-1]} == {12}


def test_long_names_have_two_bytes_of_length():
    symbols = [*SYMBOLS, (RELATIVE + 0x10000, "T" + "x" * 300)]
    assert read_tables(tables(symbols))[-1].name == "x" * 300


def test_data_is_no_function_and_absolute_symbols_are_left_out():
    symbols = [
        *SYMBOLS,
        (RELATIVE + 0x10000, "Dtable"),
        (RELATIVE + 0x10004, "Aconstant"),
        (RELATIVE + 0x10008, "tend"),
    ]
    assert read_tables(tables(symbols))[-2:] == (
        Symbol("table", RELATIVE + 0x10000, 8, function=False),
        Symbol("end", RELATIVE + 0x10008, 4),
    )


def test_names_of_one_address_have_the_same_size():
    symbols = [*SYMBOLS, (RELATIVE + 0x10000, "Ta"), (RELATIVE + 0x10000, "Tb"), (RELATIVE + 0x10020, "Tc")]
    assert [(symbol.name, symbol.size) for symbol in read_tables(tables(symbols))[-3:]] == [
        ("a", 0x20), ("b", 0x20), ("c", 4),
    ]  # fmt: skip


def test_memory_without_tables_is_refused():
    with pytest.raises(
        UsageError, match=r"^no table of symbols \(kallsyms\) is in 4,096 bytes of the kernel$"
    ) as error:
        read_tables(random.Random(2).randbytes(4096))
    assert error.value.hint == "give its symbols as a file: System.map, or a copy of /proc/kallsyms"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("markers", "the kernel's table of symbols is damaged, or of an unknown kind: no names belong to its tokens"),
        ("names", "the kernel's table of symbols is damaged, or of an unknown kind: no names belong to its tokens"),
        ("count", "the kernel's table of symbols is damaged, or of an unknown kind: no names belong to its tokens"),
        ("index", "no table of symbols (kallsyms) is in {size:,} bytes of the kernel"),
        ("offsets", "the kernel's table of 1,500 symbols has no addresses where they are in kernels of 4.6 to 6.x"),
    ],
)
def test_tables_that_lack_a_part_are_refused(damage, message):
    data = tables(SYMBOLS, damage=damage)
    with pytest.raises(UsageError) as error:
        read_tables(data)
    assert error.value.message == message.format(size=len(data))


def test_system_map_is_read_without_symbols_of_modules():
    text = b"c0300000 T _stext\nc0300020 t local\nc0300040 D data\nbf000000 t probe\t[virtio_net]\n00000001 A one\n"
    assert read_text(text) == (
        Symbol("_stext", 0xC0300000, 0x20),
        Symbol("local", 0xC0300020, 0x20),
        Symbol("data", 0xC0300040, 4, function=False),
    )


def test_hidden_addresses_are_refused():
    with pytest.raises(UsageError, match=r"^none of the 2 symbols has an address$") as error:
        read_text(b"00000000 T a\n00000000 T b\n")
    assert error.value.hint == "/proc/kallsyms shows them to root, with /proc/sys/kernel/kptr_restrict at 0 or 1"


def test_another_file_is_refused_with_the_line():
    with pytest.raises(UsageError, match=r"^line 2 is no line of a System\.map or of /proc/kallsyms: 'hello'$"):
        read_text(b"c0300000 T a\nhello\n")


def test_banner_is_the_most_complete_of_several():
    short, long = b"Linux version 6.1.0 (gcc) # SMP\n", b"Linux version 6.1.0 (gcc) #1 SMP 2026\n"
    assert find_banner(b"\0" + short + b"\0Linux version %s\n\0" + long + b"\0") == long.decode().strip()
    assert find_banner(b"nothing") == ""
