"""Undo a session whose process was killed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

from armprobe.errors import TargetError, TargetLost, UsageError
from armprobe.probes.recovery import Recovery, is_marked, recover
from armprobe.session.journal import JournalFile, Owner, holding, let_go
from armprobe.targets.journal import KernelMemoryGone, Left, OwnTimerGone, TargetGone

if TYPE_CHECKING:
    from armprobe.targets.linux_process import LinuxProcess


def restore(
    address: str, *, journal: str | Path | None = None, waits: Callable[[str], object] | None = None
) -> Recovery | None:
    """Undo what a session that was killed left in the target at `HOST:PORT`, by its journal; then the target runs on.

    Returns what was done; None when no session left anything. What can't be undone is listed there, and can be tried
    again. gdbserver hears nobody while its program runs. Then `waits` is told so, with what to do about it, and there
    is no limit to how long this takes; without `waits`, it is five seconds.
    Raises Refused while the session lives, TargetLost when no stub answers.
    """
    with holding(address, journal) as file:
        left, owner = deepcopy(file.left), file.owner
        if not left or owner is None:
            file.close()
            return None
        if owner.address != address and journal is not None:
            raise UsageError(
                f"{file.path} is the journal of {owner.address}, not of {address}", hint=f"use --gdb {owner.address}"
            )
        if owner.kernel:
            return _restore_kernel(address, file, owner, left)
        return _restore_program(address, file, left, waits)


def _restore_program(address: str, file: JournalFile, left: Left, waits: Callable[[str], object] | None) -> Recovery:
    from armprobe.targets.gdbremote import GdbRemoteTarget
    from armprobe.targets.linux_process import LinuxProcess
    from armprobe.targets.remotefiles import RemoteFile

    silent = False

    def decide() -> bool:
        nonlocal silent
        silent = True
        if waits is not None:
            waits(f"gdbserver does not answer: {_deaf(left)}; waiting for its next stop, which Ctrl-C ends")
        return waits is not None

    try:
        stub = GdbRemoteTarget.connect(address, journal=file, silent=None if left.process is None else decide)
    except TargetLost as error:
        if silent:
            error.hint = _deaf(left)
        raise
    try:
        if not stub.process:
            return recover(stub, left)
        # It stopped when nobody asked for that: any thread may stand in the midst of a call.
        stub.threads.told = None
        process = LinuxProcess(stub)
        if left.file is not None:
            RemoteFile(stub.exchange, left.file).close()
        process.adopt_memory()
        if left.timer is not None and any(is_marked(process, memory) for memory in left.memory):
            process.adopt_timer(left.timer)
        done = recover(process, left)
        if left.timer is not None and not done.ended:
            _end_timer(process, file, done)
        return done
    finally:
        let_go(stub.detach, file)


def _deaf(left: Left) -> str:
    """Why gdbserver does not answer, and what to do: it takes SIGINT for itself."""
    return (
        f"it hears nobody while the program runs; `kill -INT {left.process}`, where it runs, has the program stop at "
        "once, and does it no harm"
    )


def _end_timer(process: LinuxProcess, file: JournalFile, done: Recovery) -> None:
    try:
        process.end_timer()
    except TargetLost:
        raise
    except TargetError as error:
        done.kept.append(str(error))
    else:
        file.note(OwnTimerGone())


def _restore_kernel(address: str, file: JournalFile, owner: Owner, left: Left) -> Recovery:
    from armprobe.symbols.kallsyms import find_banner
    from armprobe.targets.linux_kernel import KernelTarget

    target = KernelTarget.connect(address, journal=file)
    try:
        constants = target.constants
        if find_banner(target.read_memory(constants.start, constants.end - constants.start)) != owner.identity:
            # Another kernel was booted since.
            file.note(TargetGone())
            return Recovery(restarted=True)
        done = recover(target, left)
        if left.kernel is not None and done.complete:
            if target.adopt_memory(left.kernel, done.returned):
                done.memory = left.kernel.end - left.kernel.start
            else:
                file.note(KernelMemoryGone())
        return done
    finally:
        let_go(target.detach, file)
