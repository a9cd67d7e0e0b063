"""What the scripts behind `make` say on a machine that lacks something."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
PACKAGES = "qemu-user qemu-system-arm openocd gcc-arm-none-eabi binutils-arm-none-eabi llvm gdb-multiarch"


@pytest.fixture
def machine(tmp_path):
    """A checkout with nothing but the scripts, and a PATH with nothing but what a test puts there."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    shutil.copy(SCRIPTS.parent / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("bash", "cat", "cut", "dirname", "env", "sha256sum"):
        program = shutil.which(name)
        assert program is not None
        (tmp_path / "bin" / name).symlink_to(program)
    return tmp_path


def program(machine: Path, name: str, text: str = "") -> None:
    """Put a program into the PATH of `machine`."""
    path = machine / "bin" / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def run(machine: Path, script: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [machine / "scripts" / script],
        env={"PATH": str(machine / "bin"), **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_system_packages_that_may_not_be_installed_are_named_with_the_command(machine):
    program(machine, "apt-get", "exit 9")
    program(machine, "id", "echo 1000")
    assert run(machine, "system-packages.sh") == (
        1,
        "",
        (
            "tests need Debian packages that are missing, and this user may not install them. Run as root:\n"
            f"  apt-get install --yes --no-install-recommends {PACKAGES}\n"
        ),
    )


def test_system_packages_are_named_where_there_is_no_apt(machine):
    assert run(machine, "system-packages.sh") == (
        1,
        "",
        f"tests need programs that are missing; in Debian they are in: {PACKAGES}\n",
    )


def test_only_missing_system_packages_are_installed(machine):
    for name in (
        "qemu-arm",
        "qemu-system-arm",
        "openocd",
        "arm-none-eabi-gcc",
        "arm-none-eabi-objdump",
        "gdb-multiarch",
    ):
        program(machine, name)
    program(machine, "id", "echo 1000")
    program(machine, "apt-get", 'echo "apt-get $*"')
    program(machine, "sudo", 'shift; "$@"')
    assert run(machine, "system-packages.sh") == (
        0,
        "installing llvm\napt-get update -qq\napt-get install --yes --no-install-recommends llvm -qq\n",
        "",
    )


def test_system_packages_that_are_there_are_left_alone(machine):
    for name in (
        "qemu-arm",
        "qemu-system-arm",
        "openocd",
        "arm-none-eabi-gcc",
        "arm-none-eabi-objdump",
        "llvm-mc",
        "gdb-multiarch",
    ):
        program(machine, name)
    assert run(machine, "system-packages.sh") == (0, "", "")


def test_no_python_is_said_with_the_command_that_installs_it(machine):
    assert run(machine, "venv.sh") == (
        1,
        "",
        "venv: wanted Python 3.11 or newer, but there is no python3\nvenv: try: apt-get install python3 python3-venv\n",
    )


def test_an_old_python_is_named(machine):
    program(machine, "python3", '[ "$1" = --version ] && echo Python 3.9.2 || exit 1')
    assert run(machine, "venv.sh") == (
        1,
        "",
        (
            "venv: wanted Python 3.11 or newer, but python3 is Python 3.9.2\n"
            "venv: try: PYTHON=/path/to/python3.11 make ..., after removing .venv\n"
        ),
    )


def test_a_python_without_venv_is_said_with_the_package_that_has_it(machine):
    program(machine, "python3.11", 'case "$*" in *ensurepip*) exit 1 ;; esac')
    assert run(machine, "venv.sh", PYTHON="python3.11") == (
        1,
        "",
        (
            "venv: python3.11 cannot make virtual environments: its venv or ensurepip module is missing\n"
            "venv: try: apt-get install python3-venv\n"
        ),
    )
    assert not (machine / ".venv").exists()
