"""The modules of a kernel that was fetched: which are loaded for one, and in which order."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from armprobe.errors import UsageError
from armprobe.targets.debian import modules_for


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Its modules need each other as their names say."""
    folder = tmp_path / "lib/modules/6.1/kernel/net"
    folder.mkdir(parents=True)
    for name, needed in {"top-most": "left,right", "left": "base-part", "right": "base-part", "base-part": ""}.items():
        content = f"ELF\0license=GPL\0depends={needed}\0name={name}\0".encode()
        packed = name == "left"
        (folder / f"{name}.ko{'.xz' * packed}").write_bytes(lzma.compress(content) if packed else content)
    image = tmp_path / "boot/vmlinuz"
    image.parent.mkdir()
    image.touch()
    return image


@pytest.mark.parametrize("name", ["top-most", "top_most"])
def test_module_comes_after_all_that_it_needs_unpacked(kernel: Path, name: str):
    found = modules_for(kernel, name)
    assert list(found) == ["base_part", "left", "right", "top_most"]
    assert all(content.startswith(b"ELF\0") for content in found.values())


def test_module_that_is_not_there_is_refused_with_the_name_that_was_perhaps_meant(kernel: Path):
    with pytest.raises(UsageError) as error:
        modules_for(kernel, "rihgt")
    assert (error.value.message, error.value.hint) == (f"{kernel} has no module rihgt", "did you mean right?")
