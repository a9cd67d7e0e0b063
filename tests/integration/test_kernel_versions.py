"""Other kernels than that of `test_kernel.py`, and more memory: what differs is what armprobe finds out by itself."""

import pytest
from tests.integration.kernel_guest import (
    BACKPORTS_KERNEL,
    BUSYBOX,
    KERNEL,
    LPAE_KERNEL,
    calling_program,
    need_guest,
    opening_program,
    sending_program,
    unmapping_program,
)

import armprobe
from armprobe.targets.debian import modules_for
from armprobe.targets.linuxguest import start_guest
from armprobe.targets.qemu import EMULATOR, WIDE_EMULATOR

PROCESSORS, CALLS, OPENS, UNMAPPED = 2, 500, 100, 2000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.mark.parametrize(
    ("kernel", "memory", "emulator"),
    [(BACKPORTS_KERNEL, "512M", EMULATOR), (KERNEL, "2G", EMULATOR), (LPAE_KERNEL, "6G", WIDE_EMULATOR)],
    ids=["backports", "high memory", "large addresses"],
)
def test_other_kernels_are_probed_as_well(kernel, memory, emulator, tmp_path):
    """In high memory, and above 4 GiB, lie the pages of users, their page tables and the stacks of tasks."""
    need_guest()
    if not kernel.exists():
        pytest.skip("scripts/fetch-kernel.sh found no such kernel")
    programs = {
        "bin/calls": calling_program(tmp_path, processors=PROCESSORS, calls=CALLS),
        "bin/opens": opening_program(tmp_path, opens=OPENS),
        "bin/unmaps": unmapping_program(tmp_path, opens=UNMAPPED),
        "bin/sends": sending_program(tmp_path, processors=PROCESSORS, packets=CALLS),
        "dummy.ko": modules_for(kernel, "dummy")["dummy"],
    }
    with start_guest(
        kernel, BUSYBOX, programs=programs, processors=PROCESSORS, options=["-m", memory], emulator=emulator
    ) as guest:
        with armprobe.attach_kernel(guest.address) as session:
            calls, took = session.count("sys_getppid"), session.latency("sys_getppid")
            opens = session.define('p:opens do_sys_openat2 name=+0(%r1):ustring stack=+0(%sp):u32 if COMM == "opens"')
            session.optimize_now()
            assert [calls.state, opens.state] == ["branch", "branch"]
            guest.start("calls; opens & opens & wait", when_ended=session.stop)
            session.run()
            guest.finish()
            assert calls.hits == took.count == PROCESSORS * CALLS
            events = list(session.events())
        names = [event.values["name"] for event in events]
        expected = [f"/armprobe/{number:05}" for number in range(OPENS)] + [None] * 5
        assert sorted(names, key=str) == sorted(2 * expected, key=str)
        assert all(event.values["stack"] is not None for event in events)
        with armprobe.attach_kernel(guest.address) as session:
            opens = session.define('p:opens do_sys_openat2 name=+0(%r1):ustring if COMM == "unmaps"')
            session.optimize_now()
            guest.start("unmaps", when_ended=session.stop)
            session.run()
            guest.finish()
            # What the names were, no one can say: that they were read, and harmed nobody.
            assert opens.hits == 3 * UNMAPPED
            assert len(list(session.events())) == opens.hits
        loads, shows = "insmod /dummy.ko; ifconfig dummy0 10.1.1.1 up", "sed -n 's/ t dummy_xmit.*//p' /proc/kallsyms"
        with armprobe.attach_kernel(guest.address) as session:
            # The first of all modules, and before any of its code runs.
            awaited = session.on_load("dummy", lambda: session.count_all(["dummy:dummy_setup", "dummy:init_module"]))
            guest.start(f"{loads}; {shows}", when_ended=session.stop)
            session.run()
            shown = int(guest.finish(), 16)
            assert (awaited.loads, awaited.hits, awaited.problem) == (1, 2, "")
            assert session.locate("dummy:dummy_xmit") == shown
            sent = session.define('dummy:dummy_xmit if COMM == "sends"')
            leaves = session.count("dummy:dummy_cleanup_module")
            session.optimize_now()
            assert [sent.state, leaves.state] == ["branch", "branch"]
            guest.start(f"sends; rmmod dummy; {loads}; sends; rmmod dummy", when_ended=session.stop)
            session.run()
            guest.finish()
            assert (sent.hits, leaves.hits, awaited.hits) == (PROCESSORS * CALLS, 1, 4)
            assert (sent.state, sent.place) == ("unloaded", "dummy:dummy_xmit")
        assert not {"Oops", "WARNING", "BUG"} & set(guest.execute("dmesg").replace(":", " ").split())
        assert guest.power_off() == 0
