import gzip
import lzma
from pathlib import Path

import pytest
from tests.symbols.test_kallsyms import SYMBOLS, tables

import armprobe
from armprobe.errors import UsageError
from armprobe.symbols.image import Symbol
from armprobe.symbols.kernelimage import KernelImage, check_running, load_kernel_image

BANNER = "Linux version 6.1.0 (somebody) #1 SMP"
KERNEL = (BANNER.encode() + b"\n").ljust(256, b"\0") + tables(SYMBOLS)
DEMO = Path(armprobe.__file__).parent / "demo/demo.elf"


def zimage(payload: bytes) -> bytes:
    # What unpacks it knows how such data begins.
    code = b"\x1f\x8b\x08 \xfd7zXZ\0 " + bytes(50)
    return bytes(0x24) + b"\x18\x28\x6f\x01" + code + payload + b"\1\2\3\4" * 20


def loaded(tmp_path, data: bytes) -> KernelImage:
    path = tmp_path / "vmlinuz"
    path.write_bytes(data)
    return load_kernel_image(path)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_a_vmlinuz_is_unpacked_and_says_which_kernel_it_is(pack, tmp_path):
    image = loaded(tmp_path, zimage(pack(KERNEL)))
    assert image.banner == BANNER
    assert [symbol.address for symbol in image.symbols] == [address for address, _ in SYMBOLS]


def test_a_map_has_names_and_no_version(tmp_path):
    image = loaded(tmp_path, b"c0300000 T _text\nc0300010 t other\n")
    assert (image.banner, [symbol.name for symbol in image.symbols]) == ("", ["_text", "other"])


def test_an_elf_file_has_the_names_of_data_too():
    image = load_kernel_image(DEMO)
    assert {"parse_packet", "type_names"} <= {symbol.name for symbol in image.symbols}
    assert image.debug


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zimage(b"nothing"), "vmlinuz holds no kernel that was compressed by gzip or xz"),
        (zimage(gzip.compress(b"no kernel")), "vmlinuz holds no kernel that was compressed by gzip or xz"),
        (b"MZ", "line 1 is no line of a System.map or of /proc/kallsyms: 'MZ'"),
    ],
)
def test_other_files_are_refused(data, message, tmp_path):
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, data)
    assert caught.value.message == message


def test_a_file_of_another_kernel_is_refused_with_what_differs():
    own = tuple(Symbol(f"f{number}", 0xC0300000 + 16 * number, 16) for number in range(1000))
    moved = tuple(Symbol(symbol.name, symbol.address + 16, 16) for symbol in own)
    check_running(KernelImage("System.map", own), BANNER, own)
    check_running(KernelImage("System.map", own[5:]), BANNER, own)
    check_running(KernelImage("vmlinux", own, BANNER), BANNER, ())
    for image, evidence in (
        (KernelImage("it", moved), "1,000 of 1,000 functions are elsewhere: f0 is at 0xc0300000"),
        (
            KernelImage("it", own, "Linux version 6.12"),
            f"the file says\n  Linux version 6.12\nand the kernel that runs\n  {BANNER}",
        ),
    ):
        with pytest.raises(UsageError) as caught:
            check_running(image, BANNER, own)
        assert caught.value.message == "it is of another kernel than the one that runs"
        assert caught.value.evidence == evidence
