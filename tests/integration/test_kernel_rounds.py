"""Probes come and go on a kernel whose four processors are busy, many at once and again and again.

ARMPROBE_ROUNDS and ARMPROBE_PLACES say how often, and how many: `make verify` takes 200 rounds of 1,000.
"""

import logging
import os
import random
import time

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, need_guest

import armprobe
from armprobe.targets.linuxguest import start_guest

ROUNDS, PLACES = (
    int(os.environ.get(f"ARMPROBE_{name}", default)) for name, default in (("ROUNDS", 4), ("PLACES", 1000))
)
PROCESSORS, SEED = 4, 1
#: what the load runs through: system calls, file names, page faults, the scheduler, timers
HOT = (
    "__se_sys_*", "sys_*", "vfs_*", "do_sys*", "ksys_*", "kmem_cache_*", "handle_mm_fault*", "do_anonymous_page*",
    "filemap_*", "copy_page*", "wp_page_copy*", "*schedule*", "enqueue_*", "dequeue_*", "pick_next_*", "update_*",
    "hrtimer_*", "tick_*", "run_timer*", "*dput*", "path_*", "link_path_walk*", "lookup_*", "proc_*", "seq_*", "fput*",
    "__fget*", "mas_*", "copy_process*", "do_exit*", "exit_*", "wake_up*", "try_to_wake_up*", "rcu_*", "timerqueue_*",
    "ktime_*", "security_*", "getname_*", "filename_*", "dentry_*", "inode_*",
)  # fmt: skip
#: keeps all processors busy: directories, processes that come and go, page faults, timers
LOAD = (
    "for n in 1 2 3; do (while true; do ls -lR /proc/self > /dev/null; done) & done; "
    "(while true; do usleep 1000; done) & (while true; do true | cat; done) &"
)
#: a piece of work that ends
WORK = "for n in 1 2 3 4; do cat /proc/self/maps /proc/version > /dev/null & done; wait $!"

#: what the kernel says when the emulator's computer is busy
SLOW = "hrtimer: interrupt took"
log = logging.getLogger(__name__)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200 + 10 * ROUNDS)]


def text_of(session):
    return session.target.read_memory(session.target.text.start, session.target.text.end - session.target.text.start)


def good_places(session, choose):
    """Instructions anywhere in hot functions, and the first ones of them, that can be probed."""
    functions = sorted({symbol.address for pattern in HOT for symbol in session.symbols.matching(pattern)})
    inside = [
        place for start in functions for place in range(*(session.symbols.function_bounds(start) or (0, 0)), 4)[1:]
    ]
    wanted = PLACES * 3 // 2
    found = []
    for place in [*choose.sample(functions, len(functions))[: wanted // 2], *choose.sample(inside, 2 * wanted)]:
        if len(found) < wanted and not session.explain(place).refused:
            found.append(place)
    return found


def work(guest, session):
    guest.start(WORK, when_ended=session.stop)
    session.run()
    guest.finish()


def test_probes_come_and_go_by_the_thousand_while_all_processors_work():
    """Reproduce a failure with the same seed: the places are chosen by it alone."""
    need_guest()
    choose = random.Random(SEED)
    with start_guest(KERNEL, BUSYBOX, processors=PROCESSORS) as guest:
        guest.execute("dmesg -c > /dev/null")
        with armprobe.attach_kernel(guest.address, memory=1 << 20) as session:
            original = text_of(session)
            places = good_places(session, choose)
        guest.execute(LOAD)
        begun, hits, planted, branches = time.monotonic(), 0, 0, 0
        # Room for two rounds or so: the slots of earlier ones are used again.
        with armprobe.attach_kernel(guest.address, memory=200 * PLACES) as session:
            for round_ in range(ROUNDS):
                probes = session.count_all(choose.sample(places, PLACES))
                session.optimize_now()
                work(guest, session)
                optimized = [probe for probe in probes if probe.state == "branch"]
                session.park_all(optimized)
                counted = sum(probe.hits for probe in optimized)
                work(guest, session)
                # A task, a soft interrupt and an interrupt of each processor may have been amid a detour.
                late = sum(probe.hits for probe in optimized) - counted
                assert late <= 3 * PROCESSORS, f"parked probes counted {late} hits in round {round_}"
                session.unpark_all(optimized[::2])
                work(guest, session)
                hits += sum(probe.hits for probe in probes)
                planted, branches = planted + len(probes), branches + len(optimized)
                session.unregister_all(probes)
            assert text_of(session) == original
        with armprobe.attach_kernel(guest.address) as session:
            assert text_of(session) == original
        log.info(
            "%d rounds, %d probes, %d of them branches, %d hits, %.0f s",
            ROUNDS, planted, branches, hits, time.monotonic() - begun,
        )  # fmt: skip
        assert hits > PLACES * ROUNDS
        assert branches > planted // 2
        assert guest.execute(f"dmesg -r | grep -v -e '^<[67]>' -e '{SLOW}' || true") == ""
        assert float(guest.execute("cat /proc/uptime").split()[0]) > 1
        assert guest.power_off() == 0
