"""Images: from ELF files, raw binaries and words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.symbols.elves import SHN_ABS, SHN_UNDEF, STT_FILE, STT_FUNC, STT_NOTYPE, STT_OBJECT, STT_TLS, Part, elf

from armprobe.errors import UsageError
from armprobe.symbols import Image, Segment, Symbol

CODE = bytes.fromhex("1eff2fe1")  # bx lr


def load(tmp_path: Path, data: bytes, *, name: str = "program", base: int | None = None) -> Image:
    path = tmp_path / name
    path.write_bytes(data)
    return Image.load(path, base=base)


def refused(tmp_path: Path, data: bytes, message: str, *, base: int | None = None) -> str:
    """Check that loading is refused with this message, and return the hint."""
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$") as caught:
        load(tmp_path, data, base=base)
    return caught.value.hint


def test_words_are_loaded_and_started_at_their_base() -> None:
    image = Image.from_words([0xE12FFF1E, 1], base=0x8000)
    assert image.segments == (Segment(0x8000, bytes.fromhex("1eff2fe1 01000000"), 8),)
    assert image.entry == 0x8000
    assert image.segments[0].end == 0x8008


@pytest.mark.parametrize("base", [2, -4, 0xFFFFFFFC])
def test_bytes_must_fit_at_their_base(base: int) -> None:
    message = f"snippet: 8 bytes cannot lie at {base:#x}: wanted a multiple of 4 within 32 bits"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        Image.from_bytes(bytes(8), base=base)


def test_raw_binary_is_loaded_at_the_base_given(tmp_path: Path) -> None:
    image = load(tmp_path, CODE, name="u-boot.bin", base=0x1000)
    assert (image.name, image.entry, image.segments) == ("u-boot.bin", 0x1000, (Segment(0x1000, CODE, 4),))


def test_raw_binary_without_a_base_is_refused(tmp_path: Path) -> None:
    hint = refused(tmp_path, CODE, "program is no ELF file: it starts with 1e ff 2f e1, not 7f 45 4c 46")
    assert hint == "a raw binary takes the address it is meant for (base); a Linux program is an ELF file"
    refused(tmp_path, b"", "program is no ELF file: it starts with nothing, not 7f 45 4c 46")


def test_elf_segments_keep_their_size_and_permissions(tmp_path: Path) -> None:
    image = load(tmp_path, elf([Part(0x8000, CODE, flags=5), Part(0x9000, b"data", 0x100, flags=6)], entry=0x8001))
    assert image.segments == (
        Segment(0x8000, CODE, 4, writable=False, executable=True),
        Segment(0x9000, b"data", 0x100, writable=True, executable=False),
    )
    assert image.entry == 0x8001


def test_data_stored_elsewhere_are_loaded_at_both_places(tmp_path: Path) -> None:
    image = load(tmp_path, elf([Part(0x20000, b"data", 0x100, stored=0x8100, flags=6)]))
    assert [(part.address, part.data, part.size) for part in image.segments] == [
        (0x20000, b"data", 0x100),
        (0x8100, b"data", 4),
    ]


def test_symbols_are_named_code_and_data_of_the_program(tmp_path: Path) -> None:
    image = load(
        tmp_path,
        elf(
            [Part(0x8000, CODE * 8)],
            [
                ("main", 0x8000, 8, STT_FUNC, 1),
                ("thumb", 0x8009, 4, STT_FUNC, 1),
                ("label", 0x8004, 0, STT_NOTYPE, 1),
                ("table", 0x8010, 4, STT_OBJECT, 1),
                ("printf", 0, 0, STT_FUNC, SHN_UNDEF),
                ("SIZE", 4, 0, STT_NOTYPE, SHN_ABS),
                ("main.c", 0, 0, STT_FILE, SHN_ABS),
                ("errno", 0, 4, STT_TLS, 1),
                ("", 0x8000, 0, STT_NOTYPE, 1),
            ],
            dynamic_symbols=[("main", 0x8000, 8, STT_FUNC, 1), ("exported", 0x800C, 4, STT_FUNC, 1)],
        ),
    )
    assert image.symbols == (
        Symbol("main", 0x8000, 8),
        Symbol("thumb", 0x8008, 4, thumb=True),
        Symbol("label", 0x8004),
        Symbol("table", 0x8010, 4, function=False),
        Symbol("exported", 0x800C, 4),
    )


def test_mapping_symbols_become_marks(tmp_path: Path) -> None:
    marks = [("$d", 0x8008, 0, 0, 1), ("$a", 0x8000, 0, 0, 1), ("$t.7", 0x8010, 0, 0, 1), ("$x", 0x8014, 0, 0, 1)]
    image = load(tmp_path, elf([Part(0x8000, CODE * 8)], marks))
    assert image.marks == ((0x8000, "a"), (0x8008, "d"), (0x8010, "t"))
    assert [symbol.name for symbol in image.symbols] == ["$x"]


def test_shared_object_is_moved_and_its_own_references_with_it(tmp_path: Path) -> None:
    data = b"".join(word.to_bytes(4, "little") for word in (0x8000, 0x10, 0x999, 0x999, 0x999, 0x999))
    file = elf(
        [Part(0x8000, data)],
        kind=3,
        dynamic_symbols=[("own", 0x8004, 4, STT_FUNC, 1), ("foreign", 0, 0, STT_FUNC, SHN_UNDEF)],
        relocations=[(0x8000 + 4 * n, kind, number) for n, (kind, number) in enumerate(
            [(23, 0), (2, 1), (21, 1), (22, 1), (22, 2), (17, 1)])],
    )  # fmt: skip
    image = load(tmp_path, file, base=0x10000000)
    words = [int.from_bytes(image.segments[0].data[at : at + 4], "little") for at in range(0, 24, 4)]
    # relative; absolute with addend; address of data; of a function; of a foreign function; thread-local
    assert words == [0x10008000, 0x10008014, 0x10008004, 0x10008004, 0x999, 0x999]
    assert image.segments[0].address == image.entry == 0x10008000
    assert image.symbols == (Symbol("own", 0x10008004, 4),)


def test_program_for_a_fixed_address_is_not_moved(tmp_path: Path) -> None:
    message = "program is linked for a fixed address: it cannot be moved by 0x1000"
    refused(tmp_path, elf([Part(0x8000, CODE)]), message, base=0x1000)


def test_rebased_image_has_everything_moved() -> None:
    image = Image("p", 0x8001, (Segment(0x8000, CODE, 4),), (Symbol("main", 0x8000, 4),), ((0x8000, "a"),))
    assert image.rebased(0x1000) == Image(
        "p", 0x9001, (Segment(0x9000, CODE, 4),), (Symbol("main", 0x9000, 4),), ((0x9000, "a"),)
    )
    assert image.rebased(0x1000).rebased(-0x1000) == image


WANTED = "wanted a 32-bit little-endian ARM program"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wide": True}, f"program is a 64-bit ELF file: {WANTED}"),
        ({"big_endian": True}, f"program is a big-endian ELF file: {WANTED}"),
        ({"machine": 62}, f"program is for x86-64: {WANTED}"),
        ({"machine": 4711}, f"program is for machine 4711: {WANTED}"),
        ({"kind": 1}, f"program is an object file that was not linked: {WANTED}"),
    ],
)
def test_elf_of_another_kind_is_refused_with_what_it_is(tmp_path: Path, options: dict[str, int], message: str) -> None:
    refused(tmp_path, elf([Part(0x8000, CODE)], **options), message)


def test_elf_without_anything_to_load_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, elf([]), "program has nothing to load: no PT_LOAD segment")


def test_elf_that_is_cut_off_in_its_header_is_refused(tmp_path: Path) -> None:
    message = "program is cut off: 40 bytes, and the ELF header alone takes 52"
    refused(tmp_path, elf([Part(0x8000, CODE)])[:40], message)


@pytest.mark.slow
def test_elf_that_is_cut_off_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    whole = elf([Part(0x8000, CODE * 4)], [("main", 0x8000, 8, STT_FUNC, 1)])
    for length in range(4, len(whole)):
        with pytest.raises(UsageError, match=r"^program is (cut off|damaged): "):
            load(tmp_path, whole[:length])
    assert load(tmp_path, whole).symbols


def test_segment_beyond_the_address_space_is_refused(tmp_path: Path) -> None:
    message = "program is damaged: a segment of 0x1000 bytes at 0xfffff004 ends beyond 32 bits"
    refused(tmp_path, elf([Part(0xFFFFF004, CODE, 0x1000)]), message)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0xFF, 0x80, 0x01])
def test_damaged_elf_is_refused_with_a_message_or_read(tmp_path: Path, flip: int) -> None:
    symbols = [("main", 0x8000, 8, STT_FUNC, 1)]
    whole = elf([Part(0x8000, CODE * 4)], symbols, kind=3, dynamic_symbols=symbols, relocations=[(0x8000, 2, 1)])
    refusals = 0
    for position in range(4, len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= flip
        try:
            load(tmp_path, bytes(damaged))
        except UsageError as error:
            refusals += 1
            assert str(error).startswith("program "), f"byte {position} ^ {flip:#x}"  # noqa: PT017 - not all are refused
    assert refusals > 50
