"""One target, its probes, its events: a context manager that undoes everything.

with armprobe.emulate("firmware.elf") as session:
    calls = session.count("malloc")
    session.run()
    print(calls.hits)
"""

from armprobe.session.event import Event
from armprobe.session.process import spawn
from armprobe.session.restoring import restore
from armprobe.session.session import Session
from armprobe.session.start import MACHINES, attach_gdb, attach_kernel, emulate

__all__ = ["MACHINES", "Event", "Session", "attach_gdb", "attach_kernel", "emulate", "restore", "spawn"]
