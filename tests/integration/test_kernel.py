"""A stock Debian kernel in QEMU, probed from outside while it works on several processors."""

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, calling_program, need_guest

import armprobe
from armprobe.errors import Refused
from armprobe.targets.linuxguest import start_guest

PROCESSORS, CALLS = 4, 20_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    need_guest()
    calls = calling_program(tmp_path_factory.mktemp("calls"), processors=PROCESSORS, calls=CALLS)
    with start_guest(KERNEL, BUSYBOX, programs={"bin/calls": calls}, processors=PROCESSORS) as running:
        yield running
        assert running.power_off() == 0


def test_calls_on_four_processors_are_counted_exactly_and_nothing_stays_behind(guest):
    with armprobe.attach_kernel(guest.address) as session:
        entry = session.locate("sys_getppid")
        function = session.read_memory(entry, 0x40)
        calls, opened = session.count_all(["sys_getppid", "do_sys_openat2"])
        assert session.optimize_now() == 2
        assert [probe.state for probe in (calls, opened)] == ["branch", "branch"]
        guest.start("calls", when_ended=session.stop)
        stop = session.run()
        guest.finish()
        assert stop.reason is armprobe.StopReason.INTERRUPT
        assert calls.hits == PROCESSORS * CALLS
        session.close()
    with armprobe.attach_kernel(guest.address) as session:
        assert session.target.read_memory(entry, 0x40) == function


def test_file_names_that_a_user_passes_are_not_read_from_his_memory(guest):
    with armprobe.attach_kernel(guest.address) as session:
        session.define("p:opens do_sys_openat2 fd=%r0:s32 name=+0(%r1):u32")
        session.optimize_now()
        guest.start("cat /proc/version > /dev/null", when_ended=session.stop)
        session.run()
        guest.finish()
        events = list(session.events())
    assert {event.values["fd"] for event in events} == {-100}
    assert {event.values["name"] for event in events} == {None}


def test_places_that_the_kernel_cannot_bear_probes_at_are_refused(guest):
    reasons = {
        "ret_fast_syscall": "ret_fast_syscall is entry code, which runs before the kernel can take a fault",
        "patch_text": "patch_text is code that the kernel marks as not to be probed (.kprobes.text)",
        "do_DataAbort": "do_DataAbort is on the way of the page fault that a process may take to reach a probe",
        "sys_getppid+8": "sys_getppid+0x8 is the place of a call of the function tracer, which the kernel may change "
        "(ftrace)",
        0xFFFF0008: "0xffff0008 is an exception vector",
        0xBF000000: "0xbf000000 is outside of the kernel's own code",
    }
    with armprobe.attach_kernel(guest.address) as session:
        for place, reason in reasons.items():
            with pytest.raises(Refused) as refused:
                session.count(place)
            assert refused.value.message == reason
