"""`armprobe kernel-demo` leaves the guest as it was, counts what the guest did, and says what is missing."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from tests.integration.kernel_guest import KERNEL, need_guest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_demo_shows_file_names_and_its_transcript_is_in_the_readme(run, monkeypatch):
    need_guest()
    monkeypatch.setenv("ARMPROBE_CACHE", str(KERNEL.parents[2]))
    outcome = run("kernel-demo")
    assert (outcome.status, outcome.err) == (0, "")
    assert 'name="/proc/version"\n' in outcome.out
    assert "/proc/version was opened 200 times; the guest's shell did that 4 x 50 = 200 times.\n" in outcome.out
    assert "code compared with what was there before: none differ.\n" in outcome.out
    assert "logged no warning.\n" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 110
    (shown,) = re.findall(r"^\$ armprobe kernel-demo\n((?:.*\n)*?)```$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert without_numbers(shown) == without_numbers(outcome.out)


def without_numbers(text):
    """What does not depend on the day: no numbers, and not which files were opened first."""
    lines = [line for line in text.splitlines() if "name=" not in line or "p:opens" in line]
    return [re.sub(r" *[0-9][0-9.,-]*", "N", line) for line in lines]


def only(tmp_path, monkeypatch, **programs):
    """A PATH with nothing but these programs."""
    for name, text in programs.items():
        path = tmp_path / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ARMPROBE_CACHE", str(tmp_path / "cache"))


def test_missing_emulator_is_said_before_anything_is_fetched(run, tmp_path, monkeypatch):
    only(tmp_path, monkeypatch)
    assert run("kernel-demo").err == (
        "error[AP500]: qemu-system-arm is not installed\nhelp: apt-get install qemu-system-arm\n"
    )
    assert not (tmp_path / "cache").exists()


def test_missing_apt_is_said_with_another_way(run, tmp_path, monkeypatch):
    only(tmp_path, monkeypatch, qemu_system_arm="exit 9")
    outcome = run("kernel-demo")
    assert outcome.err.splitlines()[1:] == [
        "error[AP500]: apt-get is missing: Debian's kernel for the guest is fetched by Debian's apt",
        "help: on another system, boot a kernel of your own, and use `armprobe trace --kernel --gdb HOST:PORT`",
    ]


def test_packages_that_can_not_be_had_are_said_with_what_apt_says(run, tmp_path, monkeypatch):
    only(tmp_path, monkeypatch, qemu_system_arm="exit 9", dpkg_deb="exit 9", apt_get="exit 9", sh='exec /bin/sh "$@"',
         dirname='exec /usr/bin/dirname "$@"', mkdir='exec /bin/mkdir "$@"', cat='exec /bin/cat "$@"',
         rm='exec /bin/rm "$@"')  # fmt: skip
    outcome = run("kernel-demo")
    assert outcome.status == 1
    assert outcome.err.splitlines()[1:3] == [
        f"error[AP300]: Debian's kernel for the guest could not be fetched into {tmp_path / 'cache'}",
        "  fetch-debian: cannot download busybox-static:armhf: offline, or not a package of this Debian release",
    ]
