"""What it costs to count the calls of a function of an ARM process: armprobe's counter, and Frida's ways to count.

    python benchmarks/frida_hit_cost.py

Both run in one emulator (qemu-arm), on the same words of code. Frida is its wheel for armv7l, in a Python of Debian's
armhf, attached to its own process; it is fetched into .cache/frida. Times are of this run on this machine: compare them
only with each other.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import armprobe

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache/frida"
PACKAGES = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libexpat1", "zlib1g", "libffi8",
    "libgcc-s1", "libssl3",
)  # fmt: skip
CALLS = 20_000_000
LOOP = (
    0xE92D4070,  # push {r4, r5, r6, lr}
    0xE1A04000,  # mov r4, r0
    0xE1A05001,  # mov r5, r1
    0xE1A00004,  # mov r0, r4
    0xE12FFF35,  # blx r5
    0xE2544001,  # subs r4, r4, #1
    0x1AFFFFFB,  # bne 0xc
    0xE8BD8070,  # pop {r4, r5, r6, pc}
)
FUNCTION = (
    0xE92D4010,  # push {r4, lr}
    0xE2804001,  # add r4, r0, #1
    0xE1A00004,  # mov r0, r4
    0xE8BD8010,  # pop {r4, pc}
)
EMULATOR = ("qemu-arm",)


def main() -> int:
    """Print a table, and the ratio of Frida's figures to ours."""
    missing = [name for name in (EMULATOR[0], "arm-none-eabi-gcc") if shutil.which(name) is None]
    if missing:
        print(f"left out: {', '.join(missing)} not installed (scripts/system-packages.sh installs what tests need)")
        return 0
    plain, probed = ours()
    added = probed - plain
    print(
        f"armprobe: a call takes {plain * 1e9:.1f} ns, with its counter {probed * 1e9:.1f} ns: {added * 1e9:.1f} added"
    )
    reason = fetch()
    if reason:
        print(f"Frida left out: {reason}")
        return 0
    theirs = fridas()
    base = theirs.pop("plain")[0]
    print(f"Frida: a call takes {base * 1e9:.1f} ns")
    for name, (seconds, calls, hits) in theirs.items():
        assert hits == calls, f"{name} counted {hits} of {calls} calls"
        cost = seconds - base
        print(f"  {name:20}{cost * 1e9:10.1f} ns added   {cost / added:8.1f} times armprobe's counter")
    return 0


def ours() -> tuple[float, float]:
    """Seconds for a call of the function: without a probe, and with a counter; fails when one was missed."""
    with TemporaryDirectory() as folder:
        program = Path(folder) / "function"
        words = {name: ", ".join(map(hex, code)) for name, code in (("LOOP", LOOP), ("FUNCTION", FUNCTION))}
        subprocess.run(  # noqa: S603
            [  # noqa: S607
                "arm-none-eabi-gcc", "-O2", "-marm", "-march=armv7-a", "-nostdlib", "-static", "-ffreestanding",
                f"-DCALLS={CALLS}", *(f'-D{name}="{code}"' for name, code in words.items()),
                "-o", program, Path(__file__).with_name("function.c"),
            ],
            check=True,
        )  # fmt: skip
        plain = subprocess.run([*EMULATOR, program], check=True, capture_output=True, text=True).stdout  # noqa: S603
        result = Path(folder) / "result"
        with result.open("w") as output, armprobe.spawn([str(program)], stdout=output) as session:
            probe = session.count("function")
            session.optimize_now()
            assert probe.state == "branch", probe.reason
            session.run()
            assert probe.hits == CALLS + 1000, probe.hits
        return int(plain) / CALLS / 1e9, int(result.read_text()) / CALLS / 1e9


def fetch() -> str:
    """Get Frida and a Python for it; return why that is not possible, or nothing."""
    if (CACHE / ".complete").exists():
        return ""
    packages = [f"{name}:armhf" for name in PACKAGES]
    fetched = subprocess.run([ROOT / "scripts/fetch-debian.sh", *packages], check=False)  # noqa: S603
    if fetched.returncode:
        return "a Python of Debian 12 for armhf cannot be had"
    for name in PACKAGES:
        shutil.copytree(ROOT / ".cache/debian/armhf" / name, CACHE / "root", symlinks=True, dirs_exist_ok=True)
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps",
        "--only-binary=:all:", "--python-version", "3.11", "--platform", "manylinux2014_armv7l",
        "--dest", CACHE, "frida",
    ]  # fmt: skip
    if subprocess.run(command, check=False).returncode:  # noqa: S603
        return "its wheel for armv7l cannot be had"
    for wheel in CACHE.glob("frida-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(CACHE / "site")
    (CACHE / ".complete").touch()
    return ""


def fridas() -> dict[str, tuple[float, int, int | None]]:
    """What frida_agent.py prints."""
    root = CACHE / "root"
    environment = {"PYTHONHOME": root / "usr", "PYTHONPATH": CACHE / "site"}
    code = ["".join(f"{word:08x}" for word in words) for words in (LOOP, FUNCTION)]
    command = [
        *EMULATOR, "-L", root, *(part for name, value in environment.items() for part in ("-E", f"{name}={value}")),
        root / "usr/bin/python3.11", Path(__file__).with_name("frida_agent.py"), str(CALLS), *code,
    ]  # fmt: skip
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
    return {name: tuple(values) for name, values in json.loads(printed).items()}


if __name__ == "__main__":
    sys.exit(main())
