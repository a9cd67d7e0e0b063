"""Sites of a live kernel are classified by their instructions, and a sample is what was said of it."""

from collections import Counter

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, need_guest

from armprobe.session import attach_kernel
from armprobe.targets.linuxguest import start_guest
from armprobe.verification.kernelsites import Planted, classify, plant, report, sample_functions

SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sites_of_a_kernel_are_what_the_table_says():
    need_guest()
    with start_guest(KERNEL, BUSYBOX) as guest:
        with attach_kernel(guest.address) as session:
            functions = sample_functions(session, 40, seed=SEED)
            # Functions that the work runs through.
            functions += [
                session.symbols.function_bounds(session.locate(name)) for name in ("vfs_read", "do_sys_openat2")
            ]
            table = classify(session, functions)
            planted = plant(session, guest, table, 300, seed=SEED)
        assert guest.power_off() == 0
    assert table.counts.total() == sum(end - start for start, end in functions) // 4
    ways = Counter()
    for (way, reason), count in table.counts.items():
        ways[way] += count
        assert (way == "branch") == (not reason)
    assert ways["branch"] == len(table.branches) > ways["refused"] > 0
    assert (planted.sites, planted.wrong, planted.damage) == (300, (), 0)
    assert planted.executed > 100
    lines = report(table, planted)
    assert lines[0] == f"{table.counts.total():,} sites in 42 functions"
    assert not any("0x" in line for line in lines if "refused:" in line)


def test_sample_that_was_not_what_was_said_is_listed():
    class Table:
        counts, examples, starts, branches = Counter({("branch", ""): 1}), {("branch", ""): None}, {0xC0300000}, []

    assert report(Table, Planted(1, 0, 0, (0xC0300000,), 4))[-2:] == [
        (
            "1 of those that take a branch planted: 1 were none, 0 were executed, 0 times; "
            "4 bytes of the kernel's code differ afterwards"
        ),
        "not a branch: 0xc0300000",
    ]
