"""What a Linux guest is made of, Debian's kernel for armhf and a static busybox, fetched by apt into a folder."""

from __future__ import annotations

import difflib
import lzma
import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from armprobe.errors import MissingDependency, TargetError, UsageError

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


def cache_folder() -> Path:
    """Where fetched packages stay: ARMPROBE_CACHE, else `armprobe` in the user's folder for caches (XDG)."""
    own = os.environ.get("ARMPROBE_CACHE")
    shared = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(own) if own else Path(shared) / "armprobe").absolute()


def fetch_guest(cache: Path) -> tuple[Path, Path]:
    """Fetch the kernel and busybox into `cache` unless they are there; return their paths.

    Nothing is installed, and the system's apt is left alone. Raises MissingDependency where there is no apt,
    TargetError when the packages can't be had, with what apt said as evidence.
    """
    armhf = cache / "armhf"
    kernel, busybox = armhf / "kernel/vmlinuz", armhf / "busybox-static/bin/busybox"
    if kernel.exists() and busybox.exists():
        return kernel, busybox
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise MissingDependency(
                f"{tool} is missing: Debian's kernel for the guest is fetched by Debian's apt",
                hint="on another system, boot a kernel of your own, and use `armprobe trace --kernel --gdb HOST:PORT`",
            )
    cache.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # noqa: S603
        ["sh", str(files("armprobe") / "demo" / "fetch-guest.sh")],  # noqa: S607
        env={**os.environ, "ARMPROBE_CACHE": str(cache)},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise TargetError(
            f"Debian's kernel for the guest could not be fetched into {cache}",
            evidence=done.stdout.strip(),
            hint="it takes a Debian system and its package sources; 45 MB are fetched, once",
        )
    return kernel, busybox


def modules_for(kernel: Path, name: str) -> dict[str, bytes]:
    """A module of a fetched kernel and those that it needs, by their names, in the order in which they are loaded.

    Raises UsageError when the kernel has none of that name.
    """
    paths = {
        path.name.partition(".ko")[0].replace("-", "_"): path
        for path in kernel.resolve().parents[1].glob("lib/modules/*/kernel/**/*.ko*")
    }
    found: dict[str, bytes] = {}

    def add(wanted: str) -> None:
        if wanted in found:
            return
        if wanted not in paths:
            similar = difflib.get_close_matches(wanted, paths, n=1)
            raise UsageError(
                f"{kernel} has no module {wanted}",
                hint=f"did you mean {similar[0]}?" if similar else "what is built into it has no module",
            )
        packed = paths[wanted].read_bytes()
        content = lzma.decompress(packed) if paths[wanted].suffix == ".xz" else packed
        depends = _DEPENDS.search(content)
        for needed in filter(None, depends[1].decode().split(",") if depends is not None else []):
            add(needed.replace("-", "_"))
        found[wanted] = content

    add(name.replace("-", "_"))
    return found
