"""armprobe itself is killed, and `armprobe restore` undoes what it left: on a board, and in a live kernel."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, calling_program, need_guest
from tests.targets.qemu_board import SLOTS, Board, board

import armprobe
from armprobe.cli.main import main
from armprobe.errors import Refused
from armprobe.session.journal import default_path
from armprobe.symbols.image import Image
from armprobe.targets.debian import modules_for
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.linux_kernel import KernelTarget
from armprobe.targets.linuxguest import LinuxGuest, start_guest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: some seconds of work, while the program is let run in restoring it
PACKETS = "1000000"
ON_A_BOARD = """
import sys, armprobe
from armprobe import Region
address, image, start, end, moment = sys.argv[1:]
session = armprobe.attach_gdb(address, image, slots=[Region(int(start), int(end))], output=lambda _: None)
session.count_all(place for place in session.places("*") if session.symbols.describe(place) != "_start")
session.define("p:packet parse_packet length=%r1:u32 if length > 40")
session.retprobe("malloc", lambda hit: None)
if moment == "traps":
    session.optimization = False
else:
    session.optimize_now()
session.run(until="scheduler_tick")
seen = 0
def hold(hit):
    global seen
    seen += 1
    if seen == 20:
        print("now", flush=True)
        sys.stdin.read()
if moment == "handler":
    session.probe("crc32", hold)
elif moment == "call":
    def interrupted_call(hit):
        print("now", flush=True)
        hit.call(session.locate("crc32"), 0x8000, 1 << 20)
    session.probe("scheduler_tick", interrupted_call)
elif moment == "traps":
    print("now", flush=True)
    sys.stdin.read()
elif moment == "post":
    session.probe("free", post_handler=hold)
else:
    session.probe("free", lambda hit: print("now", flush=True))
session.run()
"""


@contextmanager
def victim(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process of armprobe, up to the moment when it says that it may be killed."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "now\n"
            yield process
        finally:
            process.kill()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.fixture
def demo() -> Iterator[Path]:
    with as_file(files("armprobe") / "demo" / "demo.elf") as elf:
        yield elf


@pytest.fixture
def firmware(demo: Path) -> Iterator[Board]:
    with board("-kernel", str(demo), arguments=["demo", PACKETS]) as running:
        yield running


@pytest.mark.parametrize("moment", ["traps", "handler", "post", "call", "running"])
def test_a_board_is_restored_and_its_program_comes_to_its_end(
    firmware: Board, demo: Path, moment: str, capsys, monkeypatch
):
    image = Image.load(demo)
    (code,) = [part for part in image.segments if part.executable]
    with victim(ON_A_BOARD, firmware.address, demo, SLOTS.start, SLOTS.end, moment) as process:
        kill(process)
    with pytest.raises(Refused, match=rf"\(demo.elf, process {process.pid}\) did not end"):
        armprobe.attach_gdb(firmware.address, demo)
    found: list[bytes] = []
    detach = GdbRemoteTarget.detach

    def look_and_detach(target: GdbRemoteTarget) -> None:
        """The program ends soon after."""
        found.append(target.read_memory(code.address, len(code.data)))
        found.append(target.read_memory(SLOTS.start, SLOTS.end - SLOTS.start))
        detach(target)

    monkeypatch.setattr(GdbRemoteTarget, "detach", look_and_detach)
    assert main(["restore", "--gdb", firmware.address, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["complete"]
    assert len(done["restored"]) > 20 or done["breakpoints"] > 20
    assert found == [code.data, bytes(SLOTS.end - SLOTS.start)]
    assert b"crc_disagreements 0" in firmware.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_termination_ends_a_command_as_ctrl_c_does(demo: Path, number: int):
    (code,) = [part for part in Image.load(demo).segments if part.executable]
    script = "import sys; from armprobe.cli.main import main; sys.exit(main())"
    slots = f"{SLOTS.start:#x}:{SLOTS.end:#x}"
    with board("-kernel", str(demo), arguments=["demo", "100000000"]) as firmware:
        options = ["trace", demo, "--gdb", firmware.address, "--slots", slots, "-e", "parse_packet if %r1 > 73"]
        command = [sys.executable, "-c", script, *map(str, options)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert "parse_packet" in process.stdout.readline()  # it runs
                process.send_signal(number)
                _, err = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 128 + number, err
        assert "interrupted at" in err
        assert not default_path(firmware.address).exists()
        target = GdbRemoteTarget.connect(firmware.address)
        assert target.read_memory(code.address, len(code.data)) == code.data
        target.detach()


IN_A_KERNEL = """
import sys, armprobe
from armprobe.session.journal import JournalFile
address, moment, number = sys.argv[1:]
note, noted = JournalFile.note, []
def note_and_die(self, *changes):
    # Killed just before, or just after, what was noted is done.
    note(self, *changes)
    noted.extend(type(change).__name__ for change in changes)
    if noted[-1] == moment and noted.count(moment) == int(number):
        print("now", flush=True)
        sys.stdin.read()
JournalFile.note = note_and_die
session = armprobe.attach_kernel(address)
session.count_all(["sys_getppid", "do_sys_openat2", "vfs_read", "vfs_write", "ksys_read"])
session.optimize_now()
def hold(hit):
    print("now", flush=True)
    sys.stdin.read()
session.probe("sys_getppid", hold, post_handler=lambda hit: None)
session.run()
"""
IN_A_MODULE = """
import sys, armprobe
session = armprobe.attach_kernel(sys.argv[1])
session.count_all(session.places("dummy:*"))
session.optimize_now()
session.run(between=lambda: print("now", flush=True))
"""
PROCESSORS, CALLS = 2, 1000
#: what was noted last when armprobe was killed, and for which time
MOMENTS = [
    ("Call", 1),  # before the kernel is made to call module_alloc
    ("Traps", 2),  # in the call
    ("CallEnded", 1),  # memory was given, and nobody knows of it yet
    ("KernelMemory", 2),
    ("Memory", 1),
    ("handler", 1),
]


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxGuest]:
    need_guest()
    program = calling_program(tmp_path_factory.mktemp("calls"), processors=PROCESSORS, calls=CALLS)
    programs = {"bin/calls": program, "dummy.ko": modules_for(KERNEL, "dummy")["dummy"]}
    with start_guest(KERNEL, BUSYBOX, programs=programs, processors=PROCESSORS) as running:
        yield running
        assert running.power_off() == 0


def text(guest: LinuxGuest) -> bytes:
    """The code of the kernel, which is left as it was found."""
    target = KernelTarget.connect(guest.address)
    try:
        return target.read_memory(target.text.start, target.text.end - target.text.start)
    finally:
        target.detach()


def allocations(guest: LinuxGuest) -> str:
    """How much memory the kernel gave to functions that return to `panic`, as those do that armprobe calls."""
    return guest.execute("grep -c panic /proc/vmallocinfo || true")


def test_a_live_kernel_is_restored_at_whatever_moment_armprobe_was_killed(guest: LinuxGuest):
    code, taken = text(guest), allocations(guest)
    guest.execute("(while true; do calls; done) &")
    for moment, number in MOMENTS:
        with victim(IN_A_KERNEL, guest.address, moment, number) as process:
            kill(process)
        reproduce = f"killed after {moment} was noted for the {number}. time"
        with pytest.raises(Refused, match=rf"\(Linux, process {process.pid}\) did not end"):
            armprobe.attach_kernel(guest.address)
        done = armprobe.restore(guest.address)
        assert done is not None, reproduce
        assert done.complete, (reproduce, done)
        assert text(guest) == code, reproduce
        assert allocations(guest) == taken, reproduce
    guest.execute("kill $!; while pidof calls; do usleep 1000; done")
    with armprobe.attach_kernel(guest.address) as session:
        calls = session.count("sys_getppid")
        session.optimize_now()
        guest.start("calls", when_ended=session.stop)
        session.run()
        guest.finish()
        assert calls.hits == PROCESSORS * CALLS


def test_a_module_that_is_unloaded_when_armprobe_was_killed_leaves_nothing(guest: LinuxGuest):
    """The guest stops where the module goes, at the trap that nobody handles any more."""
    guest.execute("insmod /dummy.ko")
    code, taken = text(guest), allocations(guest)
    with victim(IN_A_MODULE, guest.address) as process:
        kill(process)
    guest.start("rmmod dummy; insmod /dummy.ko; ifconfig dummy0 10.1.1.1 up; rmmod dummy")
    done = armprobe.restore(guest.address)
    guest.finish()
    assert done is not None
    assert done.complete, done
    assert text(guest) == code
    assert allocations(guest) == taken
