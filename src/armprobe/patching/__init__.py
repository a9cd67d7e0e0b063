"""Bytes we change: what may change live, plans, their execution, and memory for the code we make."""

from armprobe.patching.branch import branch_word, reaches
from armprobe.patching.classify import Change, Classification, classify
from armprobe.patching.execute import PatchedBytes, execute, plan_restore, restore
from armprobe.patching.plan import MoveThreads, PatchPlan, Sync, Write, plan_patch
from armprobe.patching.slots import Island, Pool, PoolStatistics, Slot, SlotAllocator

__all__ = [
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
    "Write",
    "branch_word",
    "classify",
    "execute",
    "plan_patch",
    "plan_restore",
    "reaches",
    "restore",
]
