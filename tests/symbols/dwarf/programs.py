"""Builds of a program with debug information, by optimization level and version of DWARF."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from armprobe.symbols.image import Image

HERE = Path(__file__).parent
DEMO = Path(__file__).parents[3] / "src/armprobe/demo"
LEVELS = ("-O0", "-O1", "-O2", "-Os")


@cache
def _directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="armprobe-dwarf-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@cache
def built(*options: str, source: str = "variables.c") -> Path:
    """The ELF file of a source of this directory, with the demo's start and semihosting."""
    output = _directory() / ("".join(options).replace("/", "") + Path(source).stem + ".elf")
    subprocess.run(
        ["arm-none-eabi-gcc", "-march=armv7-a", "-marm", "-mfloat-abi=soft", "-std=gnu17", "-g", *options,
         "-ffreestanding", "-fno-tree-loop-distribute-patterns", "-fno-common", f"-I{DEMO}", "-nostdlib", "-static",
         "-T", DEMO / "demo.ld", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-o", output,
         HERE / source, DEMO / "start.c", DEMO / "semihosting.c", "-lgcc"],
        check=True,
    )  # fmt: skip
    return output


@cache
def image(*options: str, source: str = "variables.c") -> Image:
    return Image.load(built(*options, source=source))
