"""Linux programs under QEMU's user-mode emulator: what they do is as without probes, and counts are true."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from tests.integration.armel import ENVIRONMENT, executed, make_root, run_plain

import armprobe
from armprobe.isa.insn import ALWAYS
from armprobe.symbols.image import Image
from armprobe.targets.base import StopReason

#: probes per program in the comparison with QEMU's count, where not every instruction has one
_SAMPLE = 400
_SCRIPT = """
{ count[length($1)] += $1; gsub("1", "one"); if (match($0, /[0-9]+ b/)) last[NR % 3] = substr($0, RSTART, RLENGTH) }
END {
    for (n = 1; n < 7; n++) printf "%d %.3f %5.1e\\n", n, sqrt(count[n]), exp(n) * sin(n)
    for (n = 0; n < 3; n++) print toupper(last[n]), split(last[n], parts, "ne"), index(last[n], "9")
    exit 3
}
"""
_TEXT = "".join(f"{number * number} bottles\n" for number in range(400)).encode()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_root(tmp_path_factory.mktemp("armel"))


def run_armprobe(*arguments: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from armprobe.cli.main import main; raise SystemExit(main())", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "data", "objects", "most"),
    [
        (("bin/busybox", "sha256sum"), _TEXT, ("busybox",), _SAMPLE),
        (("usr/bin/xz", "-0", "-c"), _TEXT, ("xz", "liblzma.so.5"), _SAMPLE),
        (("bin/busybox", "awk", _SCRIPT), _TEXT[:1500], ("busybox",), 1 << 20),
    ],
    ids=["busybox", "xz", "every instruction of awk"],
)
def test_counts_are_those_of_the_emulator_and_output_is_as_without_probes(
    root: Path, tmp_path: Path, command: Sequence[str], data: bytes, objects: Sequence[str], most: int
):
    program = [root / command[0], *command[1:]]
    plain = run_plain(root, program, data=data)
    (tmp_path / "input").write_bytes(data)
    with (tmp_path / "input").open("rb") as stdin, (tmp_path / "output").open("wb") as stdout:
        session = armprobe.spawn(program, root=root, stdin=stdin, stdout=stdout, env=ENVIRONMENT)
    with session:
        ranges = [
            (part.start, part.end)
            for part in session.symbols.objects
            if any(fnmatchcase(part.name, name) for name in objects)
        ]
        code = [part for part in session.symbols.ranges if any(start <= part[0] < end for start, end in ranges)]
        entry = session.regs.pc
        truth = executed(root, program, code, entry=entry, data=data, log=tmp_path / "log")
        places = sorted(place for place in truth if place != entry)
        sample = random.Random(1).sample(places, min(most, len(places)))
        explained = {place: session.explain(place) for place in sample}
        probes = session.count_all(place for place in sample if not explained[place].refused)
        assert {probe.state for probe in probes} == {"branch"}
        stop = session.run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, plain.returncode)
    assert (tmp_path / "output").read_bytes() == plain.stdout
    # A false condition is no hit, and QEMU does not tell.
    counted = {probe.address: probe.hits for probe in probes if explained[probe.address].insn.cond == ALWAYS}
    assert counted == {place: truth[place] for place in counted}
    assert [probe.name for probe in probes if probe.hits > truth[probe.address]] == []
    assert len(counted) > len(sample) // 2
    assert sum(counted.values()) > 10_000


@pytest.mark.slow
def test_a_script_calls_as_many_functions_as_it_says(root: Path):
    hits = []
    for calls in (0, 321):
        script = f"for i = 1, 1234 do tostring(i) end for i = 1, {calls} do os.getenv('HOME') end print(5) os.exit(7)"
        command = [root / "usr/bin/lua5.4", "-e", script]
        plain = run_plain(root, command)
        places = ["-e", "lua5.4:luaL_tolstring", "-e", "getenv"]
        done = run_armprobe("stat", "--spawn", "--root", root, "--json", *places, command[0], "--", *command[1:])
        assert (done.returncode, done.stdout) == (7, b"5\n") == (plain.returncode, plain.stdout)
        report = json.loads(done.stderr)
        assert report["stop"]["message"] == "the program ended with exit code 7"
        hits.append({probe["location"]: probe["hits"] for probe in report["probes"]})
    assert hits[0]["luaL_tolstring"] == 1234 + 1  # print has one, too
    assert hits[1]["libc.so.6:getenv"] == hits[0]["libc.so.6:getenv"] + 321


@pytest.mark.slow
def test_a_compressor_with_threads_writes_what_it_would(root: Path):
    data = random.Random(1).randbytes(1_500_000)
    command = [root / "usr/bin/xz", "-T3", "-0", "--block-size=400000", "-c"]
    places = ["-e", "pthread_create", "-e", "liblzma.so.5:lzma_crc*"]
    done = run_armprobe("stat", "--spawn", "--root", root, "--json", *places, command[0], "--", *command[1:], data=data)
    plain = run_plain(root, command, data=data)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)
    hits = {probe["location"]: probe["hits"] for probe in json.loads(done.stderr)["probes"]}
    assert hits["libc.so.6:pthread_create"] == 3
    assert hits["liblzma.so.5:lzma_crc64"] > 3  # one for each block, at least


@pytest.mark.slow
def test_handlers_read_what_four_threads_of_a_compressor_are_about_to_check(root: Path, tmp_path: Path):
    data = random.Random(1).randbytes(1_500_000)
    (tmp_path / "input").write_bytes(data)
    command = [root / "usr/bin/xz", "-T4", "-0", "--block-size=300000", "-c"]
    with (tmp_path / "input").open("rb") as stdin, (tmp_path / "output").open("wb") as stdout:
        session = armprobe.spawn(command, root=root, stdin=stdin, stdout=stdout, env=ENVIRONMENT)
    sizes = []

    def look(hit):
        part = hit.read(hit.regs.r0, hit.regs.r1)
        assert part in data
        sizes.append(len(part))

    with session:
        handled, counted = session.probe("lzma_crc64", look), session.count("lzma_crc64")
        asked = session.retprobe("malloc", lambda hit: None, entry=lambda hit: hit.regs.r0)
        returned = session.define("r:returned malloc")
        assert session.run().exit_code == 0
    plain = run_plain(root, command, data=data)
    assert (tmp_path / "output").read_bytes() == plain.stdout
    assert handled.hits == counted.hits == len(sizes)
    assert sum(sizes) == len(data)
    assert asked.hits == returned.hits > 10


@pytest.mark.slow
def test_events_tell_which_thread_they_are_of_and_handlers_on_the_host_agree(root: Path, tmp_path: Path):
    data = tmp_path / "data"
    data.write_bytes(random.Random(1).randbytes(1_500_000))
    seen: list[int] = []
    command = [root / "usr/bin/xz", "-T3", "-0", "--block-size=400000", "-k", data]
    with armprobe.spawn(command, root=root) as session:
        session.define("p:sum liblzma.so.5:lzma_crc64 size=%r1")
        session.define("p:new pthread_create")
        session.probe("liblzma.so.5:lzma_crc64", lambda hit: seen.append(hit.pid))
        assert session.run().exit_code == 0
        events = list(session.events())
    sums = [event.common["pid"] for event in events if event.probe.name == "sum"]
    makers = {event.common["pid"] for event in events if event.probe.name == "new"}
    assert Counter(sums) == Counter(seen)
    assert len(makers) == 1
    assert not makers & set(sums)
    assert len(set(sums)) > 1
    assert str(events[0]).startswith(f"xz-{makers.pop()} ")


@pytest.mark.slow
def test_handlers_stop_a_program_whose_processor_has_no_load_exclusive(root: Path, tmp_path: Path):
    command = [root / "usr/bin/lua5.4", "-e", "for i = 1, 7 do os.getenv('HOME') end os.exit(3)"]
    names = []
    with (tmp_path / "output").open("wb") as stdout:
        session = armprobe.spawn(command, root=root, stdout=stdout, env={**ENVIRONMENT, "QEMU_CPU": "arm926"})
    with session:
        probe = session.probe("getenv", lambda hit: names.append(hit.string(hit.regs.r0)))
        assert probe.state == "trap"
        assert probe.reason.endswith("threads take turns by load-exclusive, which architecture 5 has not")
        assert session.run().exit_code == 3
    assert names.count("HOME") == 7
    assert probe.hits == len(names)


@pytest.mark.slow
def test_events_of_a_process_go_to_standard_error_and_its_output_where_it_would(root: Path):
    command = [root / "bin/busybox", "printf", "abc"]
    where = _entry(command[0])
    done = run_armprobe("trace", "--spawn", "-e", f"p:start {where} sp=%sp", command[0], "--", *command[1:])
    assert (done.returncode, done.stdout) == (0, b"abc")
    assert re.match(rf"[0-9]+\.[0-9]{{6}}: start: \({where}\) sp=0x[0-9a-f]+\n".encode(), done.stderr)


@pytest.mark.slow
def test_a_program_has_no_other_files_open_than_without_probes(root: Path):
    program = root / "bin/busybox"
    script = "for f in $(seq 3 60); do [ -e /proc/self/fd/$f ] && echo $f; done; true"
    done = run_armprobe("stat", "--spawn", "-e", _entry(program), program, "--", "sh", "-c", script)
    plain = run_plain(root, [program, "sh", "-c", script])
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout)


@pytest.mark.slow
def test_the_program_goes_with_armprobe_when_that_is_killed(root: Path):
    program = root / "bin/busybox"
    code = "from armprobe.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "stat", "--spawn", "-e", _entry(program), program, "--"]
    with subprocess.Popen(
        [*command, "sh", "-c", "echo $$; while :; do :; done"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.kill()
        assert process.stdout.read() == b""  # which ends when nobody has the other end any more


@pytest.mark.slow
def test_a_program_whose_libraries_are_missing_is_an_error_that_says_where_they_are_looked_for(root: Path):
    done = run_armprobe("stat", "--spawn", "-e", "write", root / "usr/bin/xz")
    assert done.returncode == 1
    assert b"error[AP300]: qemu-arm does not start xz\n" in done.stderr
    assert b"--root DIR" in done.stderr


def _entry(program: Path) -> str:
    return f"0x{Image.load(program).entry:08x}"
