"""A32 Linux programs of Debian's armel port, in one directory with what they need to run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

import pytest

from armprobe.targets.useremulator import EMULATOR

_ARMEL = Path(__file__).resolve().parents[2] / ".cache/debian/armel"
_PACKAGES = (
    "libc6", "libgcc-s1", "xz-utils", "liblzma5", "lua5.4", "libreadline8", "libtinfo6", "busybox-static",
)  # fmt: skip


def make_root(folder: Path) -> Path:
    """A directory that holds the programs and libraries of the packages; the test is skipped where they are not had."""
    missing = [name for name in _PACKAGES if not (_ARMEL / name / ".complete").exists()]
    if missing or shutil.which(EMULATOR) is None:
        message = f"{EMULATOR} or Debian's {', '.join(missing)} is missing: scripts/fetch-debian.sh fetches them"
        (pytest.fail if "CI" in os.environ else pytest.skip)(message)
    for name in _PACKAGES:
        shutil.copytree(_ARMEL / name, folder, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
        (folder / ".complete").unlink()
    return folder


#: the same for all runs of a program: there are some that look through it
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C"}


def run_plain(root: Path, command: Sequence[str | Path], *, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What the program does without us."""
    return subprocess.run(
        [EMULATOR, "-L", root, *command], input=data, capture_output=True, timeout=120, check=False, env=ENVIRONMENT
    )


def executed(
    root: Path, command: Sequence[str | Path], ranges: Sequence[tuple[int, int]], *, entry: int, data: bytes, log: Path
) -> Counter[int]:
    """How often each instruction in the ranges was executed from the entry point on, by QEMU's own account.

    Its output goes to a file, as a program behaves otherwise where it can't seek.
    """
    filters = ",".join(f"{start:#x}..{end - 1:#x}" for start, end in [*ranges, (entry, entry + 4)])
    options = ["-singlestep", "-d", "exec,nochain", "-dfilter", filters, "-D", log]
    with log.with_suffix(".output").open("wb") as output:
        subprocess.run(
            [EMULATOR, "-L", root, *options, *command],
            input=data, stdout=output, timeout=300, check=False, env=ENVIRONMENT,
        )  # fmt: skip
    with log.open(encoding="ascii") as lines:
        places = (int(line.split("/", 2)[1], 16) for line in lines)
        return Counter(dropwhile(lambda place: place != entry, places))
