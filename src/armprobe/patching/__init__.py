"""Bytes we change: what may change live, plans, their execution, and memory for the code we make."""

from armprobe.patching.classify import Change, Classification, classify, mixture
from armprobe.patching.execute import PatchedBytes, execute, plan_restore, restore
from armprobe.patching.plan import MoveThreads, PatchPlan, Sync, Write, plan_patch
from armprobe.patching.slots import Island, Pool, PoolStatistics, Slot, SlotAllocator
from armprobe.patching.window import WINDOW_SIZE, Verdict, prove_window

__all__ = [
    "WINDOW_SIZE",
    "Change",
    "Classification",
    "Island",
    "MoveThreads",
    "PatchPlan",
    "PatchedBytes",
    "Pool",
    "PoolStatistics",
    "Slot",
    "SlotAllocator",
    "Sync",
    "Verdict",
    "Write",
    "classify",
    "execute",
    "mixture",
    "plan_patch",
    "plan_restore",
    "prove_window",
    "restore",
]
