"""From an address to a site: may it be probed, what goes into its slot, and how the site reaches it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from armprobe.codegen.asking import Question
from armprobe.codegen.detour import SlotCode, build_slot
from armprobe.codegen.frame import Handler
from armprobe.errors import InternalError, Refused, TargetFault, UsageError
from armprobe.isa.branch import branch_word, far_jump, reaches
from armprobe.isa.decoder import decode
from armprobe.isa.flow import EXCLUSIVE_REACH, exclusive_sequence
from armprobe.isa.insn import ALWAYS, Insn
from armprobe.isa.liveness import EVERYTHING_LIVE, live_after
from armprobe.isa.relocate import relocate
from armprobe.isa.steps import Relocation
from armprobe.patching.plan import Write
from armprobe.patching.slots import Slot
from armprobe.patching.window import prove_window
from armprobe.probes.probe import Probe
from armprobe.probes.program import CodeMap
from armprobe.probes.returning import check_entry, check_first
from armprobe.probes.site import Site
from armprobe.probes.state import SiteState
from armprobe.symbols.imagecheck import ImageCheck
from armprobe.targets.base import Target

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine

HOST_ONLY = "its handlers run on the host, which stops the target anyway"
WATCHES_CONDITION = "it counts false conditions, which a conditional branch never sees"
_WORD = 4
_PAGE = 4096
#: kinds of memory, as GDB's memory maps name them, that a plain write does not change
_UNWRITABLE = ("flash", "rom")
_ADDRESS_SPACE = 1 << 32
#: bytes that the ways out of a far slot may need beyond those of a near one
_FAR_WAYS = 32
_FAR_CALL = 8


def planted_bytes(site: Site, state: SiteState, trap: int, way_to: Callable[[int], int]) -> bytes:
    """What stands at the site in `state`. `way_to(place)` is where a branch at the site goes to get there."""
    if state is SiteState.ARMED:
        return trap.to_bytes(_WORD, "little") + site.original[_WORD:]
    if state in (SiteState.OPTIMIZED, SiteState.PARKED):
        place = site.code.entry if state is SiteState.OPTIMIZED else site.code.copy
        assert place is not None
        if len(site.original) > _WORD:
            return far_jump(place)
        return branch_word(site.address, way_to(place), cond=site.condition).to_bytes(_WORD, "little")
    return site.original


def _calls(handler: Handler | None) -> int:
    """Bytes that the ways to called functions may need beyond what they need elsewhere."""
    bodies = () if handler is None else (handler.body, handler.guard)
    return _FAR_CALL * len({name for body in bodies if body is not None for name in body.called})


def _host_only(target: Target) -> str:
    """Why a site without code in the target stays a trap."""
    return HOST_ONLY + (f"; it can't be asked while the program runs: {target.no_mailbox}" if target.no_mailbox else "")


def _flash(target: Target, address: int) -> str:
    """Why the memory at `address` takes no branch, by what the target itself says of it; else ""."""
    kind = next((region.name for region in target.regions if address in region), "")
    if kind not in _UNWRITABLE or target.breakpoints is None:
        return ""
    return f"its memory takes no branch: it is {kind} by the target's memory map"


class Placement:
    """Places the sites of one engine."""

    def __init__(
        self, engine: Engine, code_map: CodeMap | None, check: ImageCheck | None, *, known: tuple[int, bytes]
    ) -> None:
        """`known` is code that need not be read again: where it lies, and what it is."""
        self.known = known
        self._engine = engine
        self._code_map = code_map
        self._check = check
        #: code address -> sites whose detour relies on what stands there (registers it does not save)
        self._relied_on: dict[int, set[int]] = {}
        #: addresses that are being registered now
        self.batch: set[int] = set()
        #: code as the program has it, by the number of its page
        self._pages: dict[int, bytes | None] = {}
        self._exclusives: dict[int, bool] = {}

    # --- may it be probed?

    def inspect(self, address: int) -> tuple[bytes, Insn, Relocation]:
        """The bytes, the instruction and its relocation. Raises Refused with the reason, or TargetFault."""
        engine = self._engine
        where = engine.program.describe(address)
        if address % _WORD:
            raise UsageError(
                f"0x{address:08x} is not a multiple of 4: no A32 instruction starts there",
                hint="Thumb code can't be probed yet",
            )
        if address in engine.slots or any(address in region for region in engine.slots.regions):
            raise Refused(f"0x{address:08x} lies in a slot of armprobe: its own code is not probed")
        covering = engine.sites.get(address - _WORD)
        if covering is not None and len(covering.original) > _WORD:
            raise Refused(
                f"{where} is the second word of the two-word window at {engine.program.describe(covering.address)}",
                hint="unregister that probe first",
            )
        if self._code_map is not None and (reason := self._code_map.refusal(address)):
            raise Refused(f"{where} is {reason}")
        if self._code_map is not None and self._code_map.is_code(address) is False:
            raise Refused(f"{where} is data by the mapping symbols of the image, not A32 code")
        page = self._page(address // _PAGE)
        offset = address % _PAGE
        original = engine.target.read_memory(address, _WORD) if page is None else page[offset : offset + _WORD]
        if self._check is not None and (difference := self._check.difference(address, original)):
            raise Refused(
                f"{where} is not what runs on the target: {difference}",
                hint="give the image that runs there; code that is loaded later is probed after that (--after)",
            )
        insn = decode(int.from_bytes(original, "little"))
        bounds = self._code_map.function_bounds(address) if self._code_map is not None else None
        near = (address - 4 * EXCLUSIVE_REACH) // _PAGE, (address + 4 * EXCLUSIVE_REACH) // _PAGE
        sequence = None
        if any(self._has_exclusives(number) for number in range(near[0], near[1] + 1)):
            sequence = exclusive_sequence(self.read_word, address, function=bounds)
        if sequence is not None:
            load, store = (engine.program.describe(place) for place in sequence)
            raise Refused(
                f"{where} lies between the load-exclusive at {load} and the store-exclusive at {store}: "
                "a probe there would make the store fail for ever",
                hint="probe the load-exclusive itself, or an instruction after the store",
            )
        return original, insn, relocate(insn, address, architecture=engine.target.architecture)

    def check_entry(self, probe: Probe) -> None:
        """Raise Refused unless a probe that follows returns, or skips its function, may do so from its address."""
        if probe.returning is None and not probe.skips:
            return
        address, code_map = probe.address, self._code_map
        name = self._engine.program.describe(address)
        bounds = code_map.function_bounds(address) if code_map is not None else None
        if probe.returning is not None:
            check_entry(address, name, bounds=bounds, read_word=self.read_word)
        else:
            check_first(address, name, "skip()", bounds=bounds, read_word=self.read_word)

    def read_word(self, address: int) -> int | None:
        """The program's own word at `address`; None where nothing can be read, or what stands there may change."""
        site = self._engine.sites.get(address)
        if site is not None:
            return int.from_bytes(site.original[:_WORD], "little")
        code_map = self._code_map
        if code_map is not None and (code_map.is_code(address) is False or code_map.may_change(address)):
            return None
        page = self._page(address // _PAGE)
        offset = address % _PAGE
        return int.from_bytes(page[offset : offset + _WORD], "little") if page is not None else None

    def _page(self, number: int) -> bytes | None:
        if number not in self._pages:
            start, code = self.known
            offset = number * _PAGE - start
            if 0 <= offset <= len(code) - _PAGE:
                return code[offset : offset + _PAGE]
            try:
                self._pages[number] = self._engine.program.read_memory(number * _PAGE, _PAGE)
            except TargetFault:
                self._pages[number] = None
        return self._pages[number]

    def _has_exclusives(self, number: int) -> bool:
        """Whether a word of the page looks like a load- or store-exclusive: most pages have none."""
        if number not in self._exclusives:
            words = memoryview(self._page(number) or b"").cast("I")
            self._exclusives[number] = any(word & 0x0F8000F0 == 0x01800090 for word in words)
        return self._exclusives[number]

    def expect(self, addresses: Iterable[int]) -> None:
        """Get ready to place sites at all these addresses, before the first of them."""
        self.batch.update(addresses)
        if self._engine.target.bulk is not None:
            reach = 4 * EXCLUSIVE_REACH
            edges = {edge // _PAGE for address in self.batch for edge in (address - reach, address, address + reach)}
            start, code = self.known
            known = range(-(-start // _PAGE), (start + len(code)) // _PAGE)
            pages = sorted(page for page in edges if 0 <= page < _ADDRESS_SPACE // _PAGE and page not in known)
            with suppress(TargetFault):  # then they are read one by one, and what can't be read is refused
                found = self._engine.program.read_many([(page * _PAGE, _PAGE) for page in pages])
                self._pages.update(zip(pages, found, strict=True))

    def forget(self) -> None:
        """Forget the code that was read: the program may change it from now on."""
        self._pages.clear()
        self._exclusives.clear()
        self.batch.clear()

    # --- slots

    def place(self, address: int, probes: Sequence[Probe]) -> Site:
        """Make a site and allocate and assemble its slot; nothing is written yet. Raises Refused."""
        where = self._engine.program.describe(address)
        try:
            original, insn, relocation = self.inspect(address)
            return self._build(address, original, insn, (relocation,), probes)
        except Refused as error:
            if where in error.message:
                raise
            raise type(error)(
                f"no probe at {where}: {error.message}", evidence=error.evidence, hint=error.hint
            ) from None

    def rebuild(self, site: Site, probes: Sequence[Probe]) -> Site:
        """Make a site with a new slot for other probes at the same place; nothing is written yet."""
        return self._build(site.address, site.original, site.insn, site.relocations, probes, old=site)

    def _build(
        self,
        address: int,
        original: bytes,
        insn: Insn,
        relocations: tuple[Relocation, ...],
        probes: Sequence[Probe],
        *,
        old: Site | None = None,
    ) -> Site:
        engine = self._engine
        handler = self._handler(address, probes)
        post = any(probe.enabled and probe.post is not None for probe in probes)
        question = self._question(probes, handler)
        reason = _flash(engine.target, address)
        if handler is None and question is None:
            reason = _host_only(engine.target)
        if insn.cond != ALWAYS and any(probe.enabled and probe.watch_condition for probe in probes):
            reason = WATCHES_CONDITION
        island = None
        trap = engine.target.trap if engine.target.breakpoints is None else None

        common_stop = engine.common_stop.place_for(handler)

        def build(base: int) -> SlotCode:
            return build_slot(
                base, relocations, trap=trap, handler=handler, post=post, architecture=engine.target.architecture,
                waiting=engine.instruments.waiting, question=question, common_stop=common_stop,
            )  # fmt: skip

        def fill(size: int, *, near: int | None = None) -> tuple[Slot, SlotCode]:
            slot = engine.slots.allocate(size, near=near)
            try:
                return slot, build(slot.address)
            except BaseException:
                engine.slots.free(slot)
                raise

        calls = _calls(handler) + (_FAR_CALL if (question or common_stop) is not None else 0)

        try:
            # At the site itself every way is short but those of calls: the size that a near slot needs.
            size = len(build(address).code.data) + calls
            slot, code = fill(size, near=address)
            if len(code.code.data) > slot.size:
                # The site branches to a place that it reaches, but the slot does not.
                engine.slots.free(slot)
                slot, code = fill(size + _FAR_WAYS, near=address)
        except Refused as error:
            if (handler is not None or question is not None) and len(relocations) == 1:
                island = old.island if old is not None else None
                island = island or self._find_island(address)
                if island is None and old is not None:
                    # What stands at the site now is one word: a window would be another site.
                    reason = f"{error.message}; unregister all probes there to try two words"
                elif island is None:
                    original, relocations, reason = self._find_window(address, original, relocations, error)
            slot, code = fill(len(build(address).code.data) + _FAR_WAYS + calls)
        if len(code.code.data) > slot.size:
            engine.slots.free(slot)
            raise InternalError(f"the code for {engine.program.describe(address)} outgrew its slot")
        engine.instruments.hold(probes)
        return Site(
            address, original, insn, relocations, code, slot, list(probes), built_for=tuple(probes),
            handled=tuple(probe for probe in probes if probe.enabled), island=island, planted=original, reason=reason,
        )  # fmt: skip

    def _find_island(self, address: int) -> Slot | None:
        try:
            return self._engine.slots.allocate(2 * _WORD, near=address)
        except Refused:
            return None

    def _find_window(
        self, address: int, original: bytes, relocations: tuple[Relocation, ...], error: Refused
    ) -> tuple[bytes, tuple[Relocation, ...], str]:
        """Take the next instruction into the window where that is proven safe; else the reason why it stays a trap."""
        bounds = self._code_map.function_bounds(address) if self._code_map is not None else None
        second = address + _WORD
        if bounds is None or self._code_map is None:
            return original, relocations, f"{error.message}; and the bounds of the function are not known"
        if second in self._engine.sites or second in self.batch:
            return original, relocations, f"{error.message}; and the next instruction has a probe of its own"
        code_map = self._code_map
        verdict = prove_window(
            self.read_word, address, function=bounds, is_code=lambda place: code_map.is_code(place) is not False
        )
        if not verdict:
            return original, relocations, f"{error.message}; and two words can't be replaced: {verdict.reason}"
        try:
            word, _, relocation = self.inspect(second)
        except Refused as refusal:
            return original, relocations, f"{error.message}; and the next instruction: {refusal.message}"
        return original + word, (*relocations, relocation), ""

    def _handler(self, address: int, probes: Sequence[Probe]) -> Handler | None:
        """The compiled part of the enabled probes, with what is live at the site."""
        enabled = [probe for probe in probes if probe.enabled]
        compiled = self._engine.instruments.compile(enabled, address)
        if compiled is None:
            return None
        if any(probe.at_entry_on_host or probe.follows_on_host or probe.skips for probe in enabled):
            # A host handler is shown all registers, dead for the program or not; a caller may count on more of them
            # than the function that is skipped.
            return Handler(compiled.body, compiled.symbols, EVERYTHING_LIVE, compiled.guard)
        visited: list[int] = []

        def read(place: int) -> int | None:
            visited.append(place)
            # The handlers of another probe look at registers that are dead for the program.
            if place != address and (place in self.batch or place in self._engine.sites):
                return None
            return self.read_word(place)

        live = live_after(read, address)
        for place in visited:
            self._relied_on.setdefault(place, set()).add(address)
        return Handler(compiled.body, compiled.symbols, live, compiled.guard)

    def _question(self, probes: Sequence[Probe], handler: Handler | None) -> Question | None:
        """How code at the site asks the host, if it wants it and can ask."""
        enabled = [probe for probe in probes if probe.enabled]
        on_host = any(probe.runs_on_host or probe.follows_on_host for probe in enabled)
        if not on_host and (handler is None or not handler.body.exits):
            return None
        waiting = [probe for probe in enabled if probe.pre is not None or probe.post is not None]
        first = any(probe.pre is not None or probe.follows_on_host for probe in enabled)
        return self._engine.asking.question(waiting, first=first)

    def dependents(self) -> list[Site]:
        """The sites whose detours do not save a register that a probe of the batch may look at.

        Those that are silent get new ones when they are enabled.
        """
        found = {other for address in self.batch for other in self._relied_on.get(address, ())} - self.batch
        sites = [self._engine.sites[other] for other in sorted(found) if other in self._engine.sites]
        for site in sites:
            if site.silent:
                site.handled = ()
        return [site for site in sites if site.state is not SiteState.DISARMED and not site.silent]

    def release(self, site: Site) -> None:
        """Give the memory of a site back that no thread can be in."""
        self._engine.slots.free(site.slot)
        self._engine.instruments.let_go(site.built_for)
        holder = self._engine.sites.get(site.address)
        # A site that could not take the place of another one leaves the island to that.
        if site.island is not None and (holder is None or holder is site or holder.island != site.island):
            self._engine.slots.free(site.island)

    # --- what a patch needs of a site

    def code_writes(self, site: Site) -> list[Write]:
        """The slot of the site, to be written before anything leads there."""
        return [Write(site.slot.address, None, site.code.code.data, f"slot of 0x{site.address:08x}")]

    def way_to(self, site: Site, place: int, islands: list[Write]) -> int:
        """Where a branch at the site goes to get to `place`: there, or to the island, which is added to `islands`."""
        if reaches(site.address, place):
            return place
        assert site.island is not None
        before = None if site.island_way is None else far_jump(site.island_way)
        islands.append(Write(site.island.address, before, far_jump(place), f"island of 0x{site.address:08x}"))
        return site.island.address

    def thread_moves(self, moves: Sequence[tuple[Site, str]]) -> list[tuple[int, int]]:
        """Where threads go on that stopped at the second word of a window that is about to be planted."""
        return [
            (site.address + _WORD, site.code.second)
            for site, verb in moves
            if verb in ("optimize", "publish") and site.code.second is not None
        ]
