"""Dynamic probes for 32-bit ARM code, from Python.

Names are imported on first use (PEP 562), so that `import armprobe` and `armprobe --help` stay cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armprobe.errors import (
        ArmprobeError,
        HandlerError,
        InternalError,
        MissingDependency,
        Refused,
        TargetError,
        TargetFault,
        TargetLost,
        UsageError,
    )
    from armprobe.probes.event_histogram import EventHistogram
    from armprobe.probes.maps import Map
    from armprobe.probes.probe import Hit, Probe
    from armprobe.probes.recovery import Recovery
    from armprobe.session import Awaited, Event, Session, attach_gdb, attach_kernel, emulate, restore, spawn
    from armprobe.symbols.image import Image
    from armprobe.targets.base import Region, Registers, Stop, StopReason

__version__ = "0.1.0"

__all__ = [
    "ArmprobeError",
    "Awaited",
    "Event",
    "EventHistogram",
    "HandlerError",
    "Hit",
    "Image",
    "InternalError",
    "Map",
    "MissingDependency",
    "Probe",
    "Recovery",
    "Refused",
    "Region",
    "Registers",
    "Session",
    "Stop",
    "StopReason",
    "TargetError",
    "TargetFault",
    "TargetLost",
    "UsageError",
    "__version__",
    "attach_gdb",
    "attach_kernel",
    "emulate",
    "restore",
    "spawn",
]

#: public name -> the module that defines it, where that is not `armprobe.errors`
_HOME = {
    "Awaited": "armprobe.session",
    "Event": "armprobe.session",
    "EventHistogram": "armprobe.probes.event_histogram",
    "Hit": "armprobe.probes.probe",
    "Image": "armprobe.symbols.image",
    "Map": "armprobe.probes.maps",
    "Probe": "armprobe.probes.probe",
    "Recovery": "armprobe.probes.recovery",
    "Region": "armprobe.targets.base",
    "Registers": "armprobe.targets.base",
    "Session": "armprobe.session",
    "Stop": "armprobe.targets.base",
    "StopReason": "armprobe.targets.base",
    "attach_gdb": "armprobe.session",
    "attach_kernel": "armprobe.session",
    "emulate": "armprobe.session",
    "restore": "armprobe.session",
    "spawn": "armprobe.session",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'armprobe' has no attribute {name!r}")
    value: object = getattr(import_module(_HOME.get(name, "armprobe.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
