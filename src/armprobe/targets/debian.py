"""What a Linux guest is made of, Debian's kernel for armhf and a static busybox, fetched by apt into a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

from armprobe.errors import MissingDependency, TargetError


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
