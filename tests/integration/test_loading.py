"""Probes in libraries that a program under the user-mode emulator loads, unloads and loads again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.armel import make_root
from tests.integration.libraries import CACHE, fetch
from tests.integration.linux_programs import (
    loading_program,
    plugin,
    plugin_calls,
    plugin_with_relocated_code,
)

import armprobe
from armprobe import Refused, Session, UsageError
from armprobe.events.recording import load
from armprobe.targets.useremulator import EMULATOR

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(EMULATOR) and shutil.which("arm-none-eabi-gcc")), reason="needs qemu-arm and a compiler"
    ),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_root(tmp_path_factory.mktemp("armel"))


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    loading_program(folder, next(root.rglob("libc.so.6")))
    plugin(folder, "one.so")
    plugin(folder, "two.so")
    plugin_with_relocated_code(folder, "relocated.so")
    return folder


@pytest.fixture
def start(root: Path, folder: Path) -> Callable[..., Session]:
    def start(*arguments: str) -> Session:
        names = [f"{folder}/{name}" if name.endswith(".so") else name for name in arguments]
        return armprobe.spawn([folder / "loading", *names], root=root, stdout=subprocess.DEVNULL)

    return start


@pytest.mark.parametrize("optimized", [True, False])
def test_a_library_that_comes_again_elsewhere_is_counted_from_constructor_to_destructor(start, optimized: bool):
    with start("one.so", "two.so", "one.so") as session:
        session.optimization = optimized
        one = session.on_load("one.so", lambda: session.count("one.so:work"))
        two = session.on_load("t?o.so", lambda: session.count("two.so:work"))
        never = session.on_load("never.so", lambda: session.count("never.so:work"))
        assert session.probes == ()
        assert session.run().exit_code == 3
    assert (one.loads, two.loads, never.loads) == (2, 1, 0)
    assert [probe.hits for probe in one.probes] == [plugin_calls(1), plugin_calls(3)]
    assert one.probes[0].address != one.probes[1].address
    assert (one.hits, two.hits) == (plugin_calls(1) + plugin_calls(3), plugin_calls(2))
    assert [probe.state for probe in one.probes] == ["unloaded"] * 2


@pytest.mark.parametrize("who", [(), ("thread",)], ids=["alone", "a thread"])
def test_handlers_of_all_kinds_are_planted_and_other_libraries_keep_theirs(start, who: tuple[str, ...]):
    seen: list[int] = []
    with start(*who, "keep", "two.so", "one.so", "one.so") as session:
        two = session.on_load("two.so", lambda: session.count("two.so:work"))
        host = session.on_load("one.so", lambda: session.probe("one.so:work", lambda hit: seen.append(hit.regs.r0)))
        event = session.on_load("one.so", lambda: session.define("p:worked one.so:work n=%r0 x=%r1"))
        returned = session.on_load("one.so", lambda: session.retprobe("one.so:run", lambda hit: seen.append(-1)))
        assert session.run().exit_code == 3
    assert two.hits == plugin_calls(1)
    assert host.hits == event.hits == plugin_calls(2) + plugin_calls(3)
    assert returned.hits == 2
    assert seen == [1, *range(20), -1, 2, 1, *range(30), -1, 2]
    events = list(session.events())
    assert [event.values["n"] for event in events] == [number for number in seen if number >= 0]
    assert {event.place.partition("+")[0] for event in events} == {"one.so:work"}


def test_what_is_loaded_already_is_planted_at_once(start):
    with start() as session:
        found = session.on_load("libc.so.6", lambda: session.count("libc.so.6:exit"))
        assert (found.loads, len(session.probes)) == (1, 1)
        session.run()
    assert found.hits == 1


def test_what_a_thread_loads_is_counted_from_constructor_to_destructor(start):
    with start("thread", "one.so", "two.so", "one.so") as session:
        one = session.on_load("one.so", lambda: session.count("one.so:work"))
        two = session.on_load("two.so", lambda: session.count("two.so:work"))
        assert session.run().exit_code == 3
    assert (one.loads, two.loads, one.problem) == (2, 1, "")
    assert [probe.hits for probe in one.probes] == [plugin_calls(1), plugin_calls(3)]
    assert (one.hits, two.hits) == (plugin_calls(1) + plugin_calls(3), plugin_calls(2))


def test_what_would_stop_a_thread_that_loads_has_no_probes_with_the_reason_and_the_program_goes_on(start):
    with start("thread", "one.so") as session:

        def plant():
            session.optimization = False

        one = session.on_load("one.so", plant)
        assert session.run().exit_code == 3
    assert (one.loads, one.hits) == (1, 0)
    assert one.problem.startswith("other threads run, and can't be stopped for a change of code: a trap at 0x")


def test_code_that_the_linker_changes_later_has_no_probes_with_the_reason(start):
    with start("relocated.so") as session:
        found = session.on_load("relocated.so", lambda: session.count("relocated.so:work"))
        assert session.run().exit_code == 3
    assert (found.loads, found.probes) == (1, [])
    assert found.problem == "the code of relocated.so is relocated after it was loaded (DT_TEXTREL)"


#: four threads compress five times each: each time begins once, takes data and is told of their end
_PYTHON = """
import bz2, threading
def work(size):
    for _ in range(5):
        bz2.compress(bytes(size))
threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(1, 5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""
_PYTHON_PACKAGES = (
    "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libexpat1", "libcrypt1", "zlib1g",
    "libbz2-1.0",
)  # fmt: skip


def test_modules_of_python_are_counted_in_all_its_threads(tmp_path: Path):
    fetch(*(f"{package}:armel" for package in _PYTHON_PACKAGES))
    root = make_root(tmp_path / "root")
    for package in _PYTHON_PACKAGES:
        shutil.copytree(CACHE / "armel" / package, root, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
        (root / ".complete").unlink()
    command = [root / "usr/bin/python3.11", "-c", _PYTHON]
    with (tmp_path / "output").open("wb") as output, armprobe.spawn(command, root=root, stdout=output) as session:
        module = session.on_load("_bz2.*.so", lambda: session.count("_bz2.*:PyInit__bz2"))
        library = session.on_load(
            "libbz2.so.1.0", lambda: session.count_all(["libbz2.so.1.0:BZ2_bzCompressInit", "BZ2_bzCompress"])
        )
        assert session.run().exit_code == 0
    assert (tmp_path / "output").read_bytes() == b"done\n"
    assert module.hits == 1
    assert [probe.hits for probe in library.probes] == [20, 40]


def test_a_place_that_is_not_in_the_library_ends_the_run(start):
    with start("one.so") as session:
        session.on_load("one.so", lambda: session.count("one.so:wrok"))
        with pytest.raises(UsageError, match=r"^no symbol is called 'one.so:wrok'$"):
            session.run()


def cli(root: Path, folder: Path, command: str, *options: str) -> subprocess.CompletedProcess[str]:
    libraries = [str(folder / name) for name in ("one.so", "two.so", "one.so")]
    line = [command, "--spawn", "--root", str(root), "--pending", *options, str(folder / "loading"), "--", *libraries]
    return subprocess.run(
        [sys.executable, "-c", "from armprobe.cli.main import main; raise SystemExit(main())", *line],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_stat_waits_for_libraries_and_says_which_never_came(root: Path, folder: Path):
    places = ["one.so:work", "two.so:wrok", "never.so:work", "libc.so.6:dlopen", "t*.so:work if %r0 > 4"]
    done = cli(root, folder, "stat", "--json", *(f"-e{place}" for place in places))
    assert done.returncode == 3
    report = json.loads(done.stderr)
    rows = {row["location"]: (row["hits"], row["kind"]) for row in report["probes"]}
    assert rows == {
        "one.so:work": (plugin_calls(1) + plugin_calls(3), "unloaded"),
        "two.so:work": (plugin_calls(2) - 7, "unloaded"),
        "libc.so.6:dlopen": (3, "branch"),
    }
    assert {place["location"]: place["reason"] for place in report["skipped"]} == {
        "two.so:wrok": "no symbol is called 'two.so:wrok'", "never.so:work": "never.so was never loaded",
    }  # fmt: skip


def test_trace_shows_events_of_libraries_that_are_gone(root: Path, folder: Path):
    done = cli(
        root, folder, "trace", "-e", "p:worked one.so:work n=%r0 if %r0 > 18", "-e", "r:ran two.so:run x=$retval"
    )
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert sum(": worked: (one.so:work+0x0/" in line for line in lines) == 30 - 19
    assert sum(": ran: (" in line and "<- two.so:run)" in line for line in lines) == 1
    assert lines[-1] == "12 events of 2 probes; the program ended with exit code 3"


@pytest.mark.parametrize("suffix", [".parquet", ".ndjson"])
def test_record_writes_events_of_libraries_that_came_later_and_are_gone(root: Path, folder: Path, tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    wanted = ["-e", "p:worked one.so:work n=%r0 if %r0 > 18", "-e", "r:ran two.so:run x=$retval", "-e", "never.so:f"]
    done = cli(root, folder, "record", *wanted, "-e", "p:opens libc.so.6:dlopen mode=%r1", "-o", str(path))
    assert done.returncode == 3, done.stderr
    assert "never.so:f: never.so was never loaded" in done.stderr
    assert done.stderr.splitlines()[-1] == "15 events of 3 probes; the program ended with exit code 3"
    recording = load(path)
    assert [(event, count) for event, _, count in recording.places] == [("worked", 11), ("opens", 3), ("ran", 1)]
    values = {argument.name: argument.values.tolist() for argument in recording.arguments}
    assert (values["n"], values["mode"]) == (list(range(19, 30)), [2, 2, 2])
    assert [(probe["event"], probe["recorded"]) for probe in recording.summary["probes"]] == [
        ("opens", 3), ("worked", 11), ("ran", 1),
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]


def test_record_with_pending_places_refuses_its_file_before_the_program_runs(root: Path, folder: Path, tmp_path):
    done = cli(root, folder, "record", "-e", "one.so:work", "-o", str(tmp_path / "run.xyz"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "wanted a file name that ends in .parquet" in done.stderr


def test_what_is_malformed_is_told_before_the_program_runs(root: Path, folder: Path):
    done = cli(root, folder, "stat", "-e", "one.so:work if %r0 >")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a field, a %register or a number, not 'the end'" in done.stderr


def test_a_static_program_loads_none(root: Path):
    message = r"^busybox has no dynamic linker that tells of libraries: it can't load any$"
    with armprobe.spawn([root / "bin/busybox", "true"], root=root) as session, pytest.raises(Refused, match=message):
        session.on_load("one.so", lambda: None)
