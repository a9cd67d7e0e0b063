"""One target, its probes, its events: a context manager that undoes everything.

with armprobe.emulate("firmware.elf") as session:
    calls = session.count("malloc")
    session.run()
    print(calls.hits)
"""

from armprobe.session.awaited import Awaited
from armprobe.session.event import Event
from armprobe.session.libraries import image_of
from armprobe.session.process import as_process, spawn
from armprobe.session.restoring import restore
from armprobe.session.session import Session
from armprobe.session.start import MACHINES, attach_gdb, attach_kernel, emulate

__all__ = [
    "MACHINES",
    "Awaited",
    "Event",
    "Session",
    "as_process",
    "attach_gdb",
    "attach_kernel",
    "emulate",
    "image_of",
    "restore",
    "spawn",
]
