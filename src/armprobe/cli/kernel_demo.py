"""`armprobe kernel-demo`: a stock Debian kernel on four processors, probed from outside while it works."""

from __future__ import annotations

import time

import click

from armprobe.cli.text import many, notice, say, title
from armprobe.errors import InternalError
from armprobe.session import Event, Session, attach_kernel
from armprobe.targets.debian import cache_folder, fetch_guest
from armprobe.targets.linux_kernel import KernelTarget
from armprobe.targets.linuxguest import LinuxGuest, start_guest
from armprobe.targets.qemu import EMULATOR, emulator_path

PROCESSORS, OPENS = 4, 50
_TRACED = "p:opens do_sys_openat2 dfd=%r0:s32 name=+0(%r1):string"
#: what is counted besides
_COUNTED = ("vfs_read", "handle_mm_fault", "__schedule", "hrtimer_interrupt")
_FILE = "/proc/version"
_WORK = (
    f"for cpu in $(seq {PROCESSORS}); do "
    f"(for n in $(seq {OPENS}); do cat {_FILE} > /dev/null; done; ls /bin /dev > /dev/null) & done; wait"
)
_SHOWN = 6
#: what the kernel says when the emulator's computer is busy
_SLOW = "hrtimer: interrupt took"


@click.command
def kernel_demo() -> None:
    """Show probes on a live Linux kernel, in a guest of its own.

    Debian's kernel for armhf and a busybox are fetched by apt, once, into a folder of their own: nothing is installed.
    The guest boots on four processors in QEMU. While it works, its kernel tells which files are opened; what is counted
    is compared with what the guest did, and at the end its code byte by byte.
    """
    emulator_path()
    cache = cache_folder()
    if not (cache / "armhf/kernel/vmlinuz").exists():
        notice(f"fetching Debian's kernel into {cache}: 45 MB once, 300 MB there")
    kernel, busybox = fetch_guest(cache)
    started = time.perf_counter()
    with start_guest(kernel, busybox, processors=PROCESSORS) as guest:
        title("The guest")
        say(f"It booted in {time.perf_counter() - started:.1f} s in {EMULATOR}, on {PROCESSORS} processors.")
        guest.execute("dmesg -c > /dev/null")
        with attach_kernel(guest.address) as session:
            assert isinstance(session.target, KernelTarget)
            version = session.target.version.partition(" (")[0]
            say(f"{version}: {many(len(session.symbols.symbols), 'symbol')} found in its memory; nothing is installed.")
            original = _code(session)
            opens = _probe(session, guest)
        title("Removed without a trace")
        with attach_kernel(guest.address) as session:
            different = sum(a != b for a, b in zip(original, _code(session), strict=True))
        say(f"{many(len(original), 'byte')} of the kernel's code compared with what was there before: "
            f"{different or 'none'} differ.")  # fmt: skip
        warnings = guest.execute(f"dmesg -r | grep '^<[0-4]>' | grep -v '{_SLOW}' || true").splitlines()
        say(f"The kernel has run for {guest.execute('cut -d. -f1 /proc/uptime').strip()} s and logged "
            f"{many(len(warnings), 'warning') if warnings else 'no warning'}.")  # fmt: skip
        for line in warnings:
            say(f"  {line}")
        status = guest.power_off()
        say(f"The guest powered off, and the emulator ended with status {status}.")
    if different or status or opens != PROCESSORS * OPENS:
        raise InternalError("the demo found a difference: the guest was not left as it was, or a hit was lost")


def _probe(session: Session, guest: LinuxGuest) -> int:
    """Let the guest work with probes in its kernel; return how often it opened the file."""
    title("Probes, while it works")
    seen: list[Event] = []
    session.on_event(seen.append)
    counters = session.count_all(_COUNTED)
    tracer = session.define(_TRACED)
    started = time.perf_counter()
    branches = session.optimize_now()
    say(f"{_TRACED}, and {many(len(counters), 'counter')}: "
        f"{branches} branches, made in {(time.perf_counter() - started) * 1000:.0f} ms.")  # fmt: skip
    started = time.perf_counter()
    guest.start(_WORK, when_ended=session.stop)
    session.run()
    guest.finish()
    session.on_event(None)
    lost = session.lost(tracer)
    say(f"{many(len(seen), 'event')} in {time.perf_counter() - started:.1f} s, {lost} lost. Some of them:")
    names: dict[str, Event] = {}
    for event in seen:
        if event.values["name"] is not None:  # else the page that it is in was not in memory
            names.setdefault(event.values["name"], event)
    for event in list(names.values())[:_SHOWN]:
        say(f"  {event}")
    for counter in counters:
        say(f"  {counter.name:<20} {counter.hits:>9,} hits")
    opens = sum(1 for event in seen if event.values["name"] == _FILE)
    say(f"{_FILE} was opened {opens} times; the guest's shell did that {PROCESSORS} x {OPENS} = {PROCESSORS * OPENS} "
        "times.")  # fmt: skip
    return opens


def _code(session: Session) -> bytes:
    """All code of the kernel, as it stands in memory."""
    assert isinstance(session.target, KernelTarget)
    text = session.target.text
    return session.target.read_memory(text.start, text.end - text.start)
