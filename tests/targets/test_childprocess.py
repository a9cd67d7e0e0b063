"""A child and its open files."""

from __future__ import annotations

import os
import signal
import subprocess

from armprobe.targets.childprocess import ChildProcess


def shell(script: str, **options) -> ChildProcess:
    return ChildProcess(["/bin/sh", "-c", script], env=os.environ, **options)


def test_files_have_the_numbers_they_are_given(tmp_path):
    with (tmp_path / "out").open("wb") as out, (tmp_path / "other").open("wb") as other:
        child = shell("echo text; echo more >&9; echo less >&2", files={1: out.fileno(), 9: other.fileno(), 2: -3})
        child.kill() if not child.wait(seconds=20) else None
    assert (child.returncode, (tmp_path / "out").read_text(), (tmp_path / "other").read_text()) == (
        0,
        "text\n",
        "more\n",
    )


def test_free_numbers_are_taken_and_inherited_files_are_not(tmp_path):
    inherited = os.dup2(0, 40)
    try:
        with (tmp_path / "out").open("wb") as out:
            child = shell("ls /proc/self/fd", files={1: out.fileno()}, below=50)
            assert child.wait(seconds=20)
    finally:
        os.close(inherited)
    assert 40 not in child.placeholders
    assert {*range(50)} <= {int(name) for name in (tmp_path / "out").read_text().split()}


def test_signals_and_ends_are_told():
    child = shell("kill -STOP $$", files={})
    assert not child.wait(seconds=0)
    child.kill()
    assert child.returncode == -signal.SIGKILL
    child.send(signal.SIGTERM)  # nobody is there any more
    ended = shell("exit 7", files={})
    assert ended.wait()
    assert ended.returncode == 7


def test_signals_that_python_ignores_are_not_ignored_there():
    child = shell("kill -PIPE $$", files={1: subprocess.DEVNULL})
    assert child.wait(seconds=20)
    assert child.returncode == -signal.SIGPIPE
