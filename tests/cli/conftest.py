"""Running the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest

from armprobe.cli.main import main


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys) -> Run:
    """Runs `armprobe ARGUMENTS`."""

    def run_command(*arguments: object) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run_command


@pytest.fixture
def demo() -> Path:
    """The sample firmware."""
    return Path(str(files("armprobe") / "demo" / "demo.elf"))


@pytest.fixture
def binary(tmp_path) -> Callable[..., Path]:
    """Writes A32 words to a raw binary, which is meant for address 0x8000."""

    def write(*words: int, name: str = "code.bin") -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(word.to_bytes(4, "little") for word in words))
        return path

    return write


#: ends a program by semihosting: SYS_EXIT with ADP_Stopped_ApplicationExit
EXIT = (
    0xE3A00018,  # mov r0, #0x18
    0xE3A01802,  # mov r1, #0x20000
    0xE2811026,  # add r1, r1, #0x26
    0xEF123456,  # svc 0x123456
)
