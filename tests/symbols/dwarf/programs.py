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
    """The ELF file of a source of this directory, in C or C++, with the demo's start and semihosting."""
    output = _directory() / ("".join(options).replace("/", "") + Path(source).stem + ".elf")
    machine = ["-march=armv7-a", "-marm", "-mfloat-abi=soft", "-ffreestanding", "-fno-tree-loop-distribute-patterns"]
    compiled = output.with_suffix(".o")
    cpp = source.endswith(".cpp")
    compiler = ["arm-none-eabi-g++", "-std=gnu++17", "-fno-exceptions", "-fno-rtti"] if cpp else [
        "arm-none-eabi-gcc", "-std=gnu17", f"-I{DEMO}"]  # fmt: skip
    subprocess.run(
        [
            *compiler,
            *machine,
            "-g",
            *options,
            "-fno-tree-loop-distribute-patterns",
            "-c",
            "-o",
            compiled,
            HERE / source,
        ],
        check=True,
    )
    subprocess.run(
        ["arm-none-eabi-gcc", *machine, "-std=c17", "-g", *options, "-nostdlib", "-static",
         "-T", DEMO / "demo.ld", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-o", output, compiled,
         DEMO / "start.c", DEMO / "semihosting.c", "-lgcc"],
        check=True,
    )  # fmt: skip
    return output


@cache
def image(*options: str, source: str = "variables.c") -> Image:
    return Image.load(built(*options, source=source))
