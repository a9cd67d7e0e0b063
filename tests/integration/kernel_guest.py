"""Debian's kernel on QEMU, and a program that makes a known number of system calls on every processor."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from armprobe.targets.qemu import EMULATOR

_DEBIAN = Path(__file__).resolve().parents[2] / ".cache/debian/armhf"
KERNEL = _DEBIAN / "kernel/vmlinuz"
#: a newer one, from Debian's backports; it need not be there
BACKPORTS_KERNEL = _DEBIAN / "kernel-backports/vmlinuz"
#: one for large physical addresses
LPAE_KERNEL = _DEBIAN / "kernel-lpae/vmlinuz"
BUSYBOX = _DEBIAN / "busybox-static/bin/busybox"

_CALLS = """
        .syntax unified
        .arm
        .global _start
_start: mov     r4, #0
1:      mov     r7, #2                  @ fork
        svc     #0
        cmp     r0, #0
        beq     child
        add     r4, r4, #1
        cmp     r4, #PROCESSORS
        blt     1b
2:      mvn     r0, #0
        mov     r1, #0
        mov     r2, #0
        mov     r3, #0
        mov     r7, #114                @ wait4
        svc     #0
        subs    r4, r4, #1
        bgt     2b
        mov     r0, #0
        mov     r7, #1                  @ exit
        svc     #0
child:  mov     r0, #1
        lsl     r0, r0, r4
        push    {r0}
        mov     r0, #0
        mov     r1, #4
        mov     r2, sp
        mov     r7, #241                @ sched_setaffinity
        svc     #0
        ldr     r5, =CALLS
3:      mov     r7, #64                 @ getppid
        svc     #0
        subs    r5, r5, #1
        bgt     3b
        mov     r0, #0
        mov     r7, #1
        svc     #0
"""


def need_guest() -> None:
    """Skip the test where the guest is not to be had; where everything must be tested, fail."""
    if shutil.which(EMULATOR) is None or not KERNEL.exists() or not BUSYBOX.exists():
        message = f"{EMULATOR}, or Debian's kernel for it, is missing: scripts/fetch-kernel.sh fetches the kernel"
        (pytest.fail if "CI" in os.environ else pytest.skip)(message)


def calling_program(folder: Path, *, processors: int, calls: int) -> bytes:
    """A program that calls getppid `calls` times on each of so many processors."""
    source, result = folder / "calls.s", folder / "calls"
    source.write_text(f".set PROCESSORS, {processors}\n.set CALLS, {calls}\n{_CALLS}")
    _compile(source, result)
    return result.read_bytes()


def opening_program(folder: Path, *, opens: int) -> bytes:
    """The program of `opening_program.c`: it opens so many names in memory, and five that are not."""
    result = folder / "opens"
    _compile(Path(__file__).with_name("opening_program.c"), result, f"-DOPENS={opens}")
    return result.read_bytes()


def unmapping_program(folder: Path, *, opens: int) -> bytes:
    """The program of `unmapping_program.c`: each of its three processes opens so many names that come and go."""
    result = folder / "unmaps"
    _compile(Path(__file__).with_name("unmapping_program.c"), result, f"-DOPENS={opens}")
    return result.read_bytes()


def sending_program(folder: Path, *, processors: int, packets: int) -> bytes:
    """The program of `sending_program.c`: it sends so many packets on each processor."""
    result = folder / "sends"
    _compile(
        Path(__file__).with_name("sending_program.c"), result, f"-DPROCESSORS={processors}", f"-DPACKETS={packets}"
    )
    return result.read_bytes()


def _compile(source: Path, result: Path, *options: str) -> None:
    subprocess.run(
        [
            "arm-none-eabi-gcc", "-O2", "-marm", "-march=armv7-a", "-nostdlib", "-static", "-ffreestanding", *options,
            "-o", str(result), str(source),
        ],
        check=True,
    )  # fmt: skip
