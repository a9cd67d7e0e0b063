"""The sample firmware: the committed ELF is what its source makes, and it does what it prints."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import as_file, files

import pytest

from armprobe.symbols.image import Image
from armprobe.targets.unicorn import UnicornTarget

DEMO = files("armprobe") / "demo"
COMPILER = "12.2.1"  # of Debian 12; another one makes other bytes


def run(argument: str) -> dict[str, str]:
    """The lines that the firmware prints under qemu-arm, which puts semihosting output on stderr."""
    with as_file(DEMO / "demo.elf") as elf:
        done = subprocess.run(["qemu-arm", elf, argument], capture_output=True, text=True, timeout=60, check=True)
    return dict(line.split(" ") for line in done.stderr.splitlines())


def test_the_committed_elf_is_what_the_source_makes(tmp_path):
    compiler = shutil.which("arm-none-eabi-gcc")
    if compiler is None:
        pytest.skip("arm-none-eabi-gcc is missing; `make test` installs it")
    version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=True).stdout.strip()
    if version != COMPILER:
        pytest.skip(f"demo.elf comes from arm-none-eabi-gcc {COMPILER}, and this is {version}")
    with as_file(DEMO) as source:
        copy = shutil.copytree(source, tmp_path / "elsewhere")  # so that no path gets into the bytes unseen
    subprocess.run([copy / "build.sh", tmp_path / "rebuilt.elf"], check=True)
    assert (tmp_path / "rebuilt.elf").read_bytes() == (DEMO / "demo.elf").read_bytes(), (
        "src/armprobe/demo/demo.elf is not what its source makes: run `make firmware` and commit the result"
    )


def test_the_summary_is_that_of_this_sequence_of_packets():
    assert run("1000") == {
        "packets": "1000",
        "bytes": "25610",
        "parse_packet": "1112",
        "ping": "124",
        "data": "245",
        "ack": "163",
        "log": "223",
        "config": "77",
        "time": "133",
        "reset": "66",
        "container": "56",
        "errors": "25",
        "payload_bytes": "19088",
        "timestamp": "01211468",
        "settings": "9a81fd1c",
        "allocations": "245",
        "frees": "237",
        "allocation_failures": "0",
        "bytes_in_use": "176",
        "bytes_peak": "752",
        "ring_dropped": "0",
        "ticks": "250",
        "drain_ring": "15",
        "expire": "5",
        "watch": "62",
        "drained": "507789",
        "crc32": "3239",
        "crc": "280a533e",
        "crc_disagreements": "0",
    }


def test_without_a_number_it_parses_a_thousand_packets():
    assert run("what?") == run("1000")


def test_the_numbers_of_the_summary_agree_with_each_other():
    counts = {name: int(text) for name, text in run("20000").items() if name not in ("timestamp", "settings", "crc")}
    types = ("ping", "data", "ack", "log", "config", "time", "reset", "container")
    assert counts["parse_packet"] == sum(counts[name] for name in types) + counts["errors"]
    assert counts["allocations"] == counts["data"]
    assert counts["allocations"] - counts["frees"] <= 32
    assert counts["ticks"] == counts["packets"] // 4
    assert counts["crc_disagreements"] == 0


def test_the_embedded_emulator_and_qemu_print_the_same():
    printed: list[bytes] = []
    with as_file(DEMO / "demo.elf") as elf:
        target = UnicornTarget.from_image(Image.load(elf), output=printed.append, arguments=["5000"])
    stop = target.run(lambda _: False)
    assert stop.exit_code == 0
    assert dict(line.split(" ") for line in b"".join(printed).decode().splitlines()) == run("5000")
