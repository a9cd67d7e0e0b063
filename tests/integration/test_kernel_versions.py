"""Other kernels than that of `test_kernel.py`: what differs between them is what armprobe finds out by itself."""

import pytest
from tests.integration.kernel_guest import (
    BACKPORTS_KERNEL,
    BUSYBOX,
    LPAE_KERNEL,
    calling_program,
    need_guest,
    opening_program,
)

import armprobe
from armprobe.targets.linuxguest import start_guest

PROCESSORS, CALLS, OPENS = 2, 500, 100

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.mark.parametrize("kernel", [BACKPORTS_KERNEL, LPAE_KERNEL], ids=["backports", "lpae"])
def test_other_kernels_are_probed_as_well(kernel, tmp_path):
    need_guest()
    if not kernel.exists():
        pytest.skip("scripts/fetch-kernel.sh found no such kernel")
    programs = {
        "bin/calls": calling_program(tmp_path, processors=PROCESSORS, calls=CALLS),
        "bin/opens": opening_program(tmp_path, opens=OPENS),
    }
    with start_guest(kernel, BUSYBOX, programs=programs, processors=PROCESSORS) as guest:
        for _ in range(2):
            with armprobe.attach_kernel(guest.address) as session:
                calls = session.count("sys_getppid")
                opens = session.define("p:opens do_sys_openat2 name=+0(%r1):ustring sp=%sp stack=+0(%sp):u32")
                session.optimize_now()
                assert [calls.state, opens.state] == ["branch", "branch"]
                guest.start("calls; opens", when_ended=session.stop)
                session.run()
                guest.finish()
                assert calls.hits == PROCESSORS * CALLS
                events = list(session.events())
            names = [event.values["name"] for event in events]
            assert names == [f"/armprobe/{number:05}" for number in range(OPENS)] + [None] * 5
            assert all(event.values["stack"] is not None for event in events)
        assert "Oops" not in guest.execute("dmesg")
        assert guest.power_off() == 0
