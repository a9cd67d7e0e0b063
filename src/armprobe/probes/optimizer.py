"""The delayed optimizer: it turns traps into branches, in five numbered steps (kernel/kprobes.c has the same five).

1. undo what must be undone: branches that became traps again
2. wait for quiescence: see which retired slots no thread is in any more
3. publish detours: patch the sites of the whole batch under one stop
4. free what is quiescent
5. run again if work is left

Linux waits in step 2 before it optimizes, because on other processors a branch replaces several instructions. An A32
branch replaces one, so that only freeing has to wait (patching.md 4.5, 4.6).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from armprobe.errors import Refused, TargetError, TargetLost
from armprobe.probes.state import SiteState
from armprobe.targets.interrupt import hold_interrupt

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.site import Site

log = logging.getLogger(__name__)

#: stops between the request and the pass: a batch forms meanwhile (Linux waits for 5 jiffies)
DELAY = 5


class Optimizer:
    """Work queued for one engine. `enabled` is the global switch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._enabled = True
        self._countdown: int | None = None

    @property
    def enabled(self) -> bool:
        return self._enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        """Off: every branch becomes a trap again before this returns. On: the next pass optimizes what it can.

        Raises Refused where traps can't be set now; then it stays as it is.
        """
        before, self._enabled = self._enabled, value
        if value:
            self.kick()
            return
        try:
            self.run()
        except Refused:
            self._enabled = before
            raise

    def kick(self) -> None:
        """Ask for a pass; it runs after DELAY more stops, or at `run`."""
        if self._countdown is None:
            self._countdown = DELAY

    def at_stop(self) -> None:
        """Count a stop of the target, and run the pass that is due."""
        if self._countdown is not None:
            self._countdown -= 1
            if self._countdown <= 0:
                self.run()

    @hold_interrupt()
    def run(self) -> int:
        """Run one pass now; return the number of sites optimized."""
        self._countdown = None
        engine = self._engine
        undo = [site for site in engine.sites.values() if site.state is SiteState.OPTIMIZED and not self._wants(site)]
        engine.patch([(site, "unoptimize") for site in undo])
        log.debug("step 1: %d branches became traps", len(undo))
        quiescent = engine.leaving.quiescent()
        log.debug("step 2: %d of %d retired slots are quiescent", len(quiescent), len(engine.leaving.retired))
        batch = [site for site in engine.sites.values() if site.state is SiteState.ARMED and self._wants(site)]
        optimized = self._optimize(batch)
        log.debug("step 3: %d of %d traps became branches", optimized, len(batch))
        engine.leaving.free(quiescent)
        engine.returns.free_quiescent()
        log.debug("step 4: %d slots freed", len(quiescent))
        if engine.leaving.retired or engine.returns.retired:
            self.kick()
        log.debug("step 5: %s", "another pass will follow" if engine.leaving.retired else "no work left")
        return optimized

    def _optimize(self, batch: Sequence[Site]) -> int:
        """Make branches; return how many. A site whose memory cannot be written stays a trap that the target sets."""
        try:
            self._engine.patch([(site, "optimize") for site in batch])
        except TargetError as error:
            # Flash takes no branch, and its traps are breakpoints of the processor.
            undone = not error.evidence and not isinstance(error, TargetLost)
            if self._engine.target.breakpoints is None or not undone:
                raise
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._optimize(batch[:middle]) + self._optimize(batch[middle:])
            batch[0].reason = f"its memory takes no branch: {error.__cause__ or error}"
            return 0
        return len(batch)

    def planting_verb(self, site: Site) -> str:
        """How a site is planted that has its own bytes.

        At once as a branch where a second stop, or a trap that is hit before that, costs much.
        """
        at_once = self._engine.runs_meanwhile or self._engine.target.mailbox is not None
        return "publish" if at_once and self._wants(site) else "arm"

    def _wants(self, site: Site) -> bool:
        """Whether the site should be, or stay, a branch."""
        return self._enabled and not site.reason
