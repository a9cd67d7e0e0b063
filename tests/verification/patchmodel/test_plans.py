"""Every change that the engine makes to a program is proven, on plans that it really carried out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
from tests.probes.program import BASE, CONDITIONAL, DOUBLE, LOOP, WORDS
from tests.probes.test_far_slots import FarMemory

from armprobe import Image, Region, Session, emulate
from armprobe.errors import Refused, UsageError
from armprobe.isa.branch import branch_word
from armprobe.patching import Change, PatchPlan, Sync, Write, plan_patch
from armprobe.patching.live import check_live
from armprobe.probes.engine import Engine
from armprobe.probes.site import Site
from armprobe.probes.state import TRANSITIONS, SiteState, next_state
from armprobe.symbols.image import Symbol
from armprobe.symbols.table import SymbolTable
from armprobe.targets.fake import TRAP
from armprobe.targets.unicorn import UnicornTarget
from armprobe.verification.patchmodel.explore import check
from armprobe.verification.patchmodel.plans import Situation, Stub, emulated_protocol_of, protocol_of
from armprobe.verification.patchmodel.trace import describe

CORES = int(os.environ.get("ARMPROBE_CORES", "2"))
PASSES = int(os.environ.get("ARMPROBE_PASSES", "2"))
UDF = 0xE7F001F8
HITS = (SiteState.ARMED, SiteState.OPTIMIZED)
BRANCH = (SiteState.OPTIMIZED, SiteState.PARKED)


@dataclass(frozen=True)
class Transition:
    """A plan that was carried out, for one site: its verb, its state before, and what the site looked like."""

    verb: str
    state: SiteState
    plan: PatchPlan
    situation: Situation

    @property
    def name(self) -> str:
        words = len(self.situation.original) // 4
        ways = "island" if any(stub.copy is None for stub in self.situation.stubs) else f"{words} words"
        new = "" if self.situation.arms is None else " with a new slot"
        cond = self.situation.original[3] >> 4
        return f"{self.verb or 'retarget'} {self.state.name}{new}, condition {cond}, {ways}, {self.situation.trap:08x}"


def stubs_of(site: Site, target, *, written: bool, state: SiteState) -> list[Stub]:
    code = site.code
    stubs = [Stub(site.slot.address, site.slot.end, written, code.entry, code.copy, code.second)]
    if site.island is not None:
        in_use = written and state in BRANCH
        leads_to = int.from_bytes(target.read_memory(site.island.address + 4, 4), "little") if in_use else None
        stubs.append(Stub(site.island.address, site.island.end, in_use, leads_to=leads_to))
    return stubs


def situation_of(engine: Engine, site: Site, verb: str, after: SiteState) -> Situation:
    """What the engine knows about a site when it patches it; it frees what `verb` leaves behind, later."""
    old = engine.sites.get(site.address)
    before = site.state
    stubs: list[Stub] = []
    frees: list[int] = []
    if old is not None:
        stubs += stubs_of(old, engine.target, written=True, state=before)
        if old is not site or verb == "disarm":
            frees += range(len(stubs))
    arms = None
    if old is not site:
        arms = len(stubs)
        new = stubs_of(site, engine.target, written=False, state=before)
        if old is not None and site.island == old.island:
            # The new slot takes the island over.
            new = new[:1]
            frees = frees[:1]
        stubs += new
    return Situation(
        site.address, site.original, site.planted, engine.target.trap, tuple(stubs), (before in HITS, after in HITS),
        armed=None if old is None else 0, arms=arms, frees=tuple(frees),
    )  # fmt: skip


@pytest.fixture(scope="module")
def changes() -> list[Transition]:
    """All that the engine does, by every way to a detour and with both kinds of traps."""
    found: list[Transition] = []
    patch = Engine.patch

    def recording(self, moves, **rest):
        before = []
        for site, verb in moves:
            after = next_state(site.state, verb) if verb else site.state
            before.append((verb, site.state, situation_of(self, site, verb, after)))
        plan = patch(self, moves, **rest)
        found.extend(Transition(verb, state, plan, situation) for verb, state, situation in before)
        return plan

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Engine, "patch", recording)
        for trap in (TRAP, UDF):
            monkeypatch.setattr(UnicornTarget, "trap", property(lambda _, trap=trap: trap))
            for address in (LOOP, CONDITIONAL):
                for session in sessions(monkeypatch):
                    live_a_life(session, address)
    return list({change.name: change for change in reversed(found)}.values())


def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """Near slots, islands, windows."""
    image = Image.from_words(WORDS, base=BASE)
    with emulate(image) as session:
        yield session
    near = UnicornTarget.executable_memory
    islands = [Region(place, place + 8) for place in range(BASE + 0x800, BASE + 0x900, 16)]
    for slots in (islands, []):
        target = UnicornTarget.from_image(image)
        memory = FarMemory(target)
        symbols = SymbolTable([Symbol("main", BASE, 0x2C), Symbol("double", DOUBLE, 12)], marks=[(BASE, "a")])
        monkeypatch.setattr(UnicornTarget, "executable_memory", property(lambda _, memory=memory: memory))
        with Session(target, symbols=symbols, slots=slots) as session:
            yield session
        monkeypatch.setattr(UnicornTarget, "executable_memory", near)


def live_a_life(session: Session, address: int) -> None:
    """Every verb in every state of a site."""
    probe = session.count(address)
    session.optimize_now()
    assert probe.state == "branch", probe.reason
    probe.park()
    another = session.count(address)  # replaces the slot of a parked site
    if probe.state == "parked":
        probe.unpark()
    session.optimize_now()
    another.unregister()  # replaces the slot of a branch
    session.optimize_now()
    session.optimization = False
    another = session.count(address)  # replaces the slot of a trap
    another.unregister()
    probe.disable()  # a trap goes
    probe.enable()
    session.optimization = True
    session.optimize_now()
    probe.disable()  # a branch goes
    probe.enable()
    session.optimize_now()
    probe.park()
    probe.unregister()  # a parked branch goes
    session.optimize_now()
    session._engine._runs_meanwhile = True  # plants branches, as on a live kernel
    probe = session.count(address)
    assert probe.state == "branch"
    probe.disable()
    probe.enable()
    assert probe.state == "branch"
    probe.unregister()
    session.optimize_now()


def test_every_verb_that_writes_is_recorded_in_every_state(changes):
    """Registering, unregistering and freeing write nothing to the site."""
    silent = ("register", "unregister", "free")
    written = {(state, verb) for state, verb in TRANSITIONS if verb not in silent}
    recorded = {(change.state, change.verb) for change in changes if change.verb and change.verb not in silent}
    assert recorded == written
    assert {change.state for change in changes if not change.verb} == {
        SiteState.ARMED, SiteState.OPTIMIZED, SiteState.PARKED
    }  # fmt: skip
    assert {change.name.split(", ", 1)[1] for change in changes} == {
        f"condition {cond}, {ways}, {trap:08x}"
        for cond in (1, 14)
        for ways in ("1 words", "2 words", "island")
        for trap in (TRAP, UDF)
    }


@pytest.mark.slow
def test_every_plan_is_proven_under_a_stop(changes):
    for change in changes:
        result = check(protocol_of(change.plan, change.situation, name=change.name), cores=CORES, passes=PASSES)
        assert result.safe, f"{change.name}\n{change.plan}\n{describe(result)}"


@pytest.mark.slow
def test_every_plan_that_may_be_carried_out_live_is_proven_live(changes):
    live = [change for change in changes if change.plan.classification.change is not Change.STOP]
    for change in live:
        protocol = protocol_of(change.plan, change.situation, name=change.name, running=True)
        result = check(protocol, cores=CORES, passes=PASSES)
        assert result.safe, f"{change.name}\n{change.plan}\n{describe(result)}"
    assert {change.verb for change in live} >= {"optimize", "unoptimize", "park", "unpark"}


def emulated(changes: list[Transition]) -> Iterator[Transition]:
    """Those that are carried out under an emulator whose threads run on."""
    for change in changes:
        site = change.situation
        word = {site.address: int.from_bytes(site.original[:4], "little")}.get
        with suppress(Refused):
            check_live(change.plan, trap=site.trap, read_word=word, stays=lambda _address: True)
            yield change


@pytest.mark.slow
def test_every_plan_that_is_carried_out_while_emulated_threads_run_is_proven(changes):
    live = list(emulated(changes))
    for change in live:
        protocol = emulated_protocol_of(change.plan, change.situation, name=change.name)
        result = check(protocol, cores=CORES, passes=PASSES)
        assert result.safe, f"{change.name}\n{change.plan}\n{describe(result)}"
    ways = {(change.verb, change.state) for change in live}
    assert {
        ("publish", SiteState.DISARMED), ("disarm", SiteState.OPTIMIZED), ("disarm", SiteState.PARKED),
        ("park", SiteState.OPTIMIZED), ("unpark", SiteState.PARKED), ("", SiteState.OPTIMIZED), ("", SiteState.PARKED),
    } <= ways  # fmt: skip
    assert any("island" in change.name for change in live)


@pytest.mark.slow
def test_what_is_refused_while_emulated_threads_run_would_go_wrong(changes):
    """Windows of two words: a thread may be between the two instructions that they replace."""
    live = list(emulated(changes))
    windows = [change for change in changes if change not in live and change.verb == "publish"]
    assert windows
    for change in windows:
        assert len(change.situation.original) == 8
        protocol = emulated_protocol_of(change.plan, change.situation, name=change.name)
        result = check(protocol, cores=CORES, passes=PASSES)
        assert not result.safe, change.name


# --- plans that the emulator does not need

SITE = 0x8000
PUSH = bytes.fromhex("10402de9")  # push {r4, lr}
NEAR = Stub(0x9000, 0x9080, True, entry=0x9000, copy=0x9040)
DETOUR = branch_word(SITE, NEAR.start).to_bytes(4, "little")


def situation(planted: bytes, *, hits: tuple[bool, bool], armed: int | None = 0, stub: Stub = NEAR) -> Situation:
    return Situation(SITE, PUSH, planted, UDF, (stub,), hits, armed=armed)


@pytest.mark.parametrize(
    ("verb", "plan", "before"),
    [
        ("arm", plan_patch([], set_traps=[SITE]), situation(PUSH, hits=(False, True))),
        ("disarm", plan_patch([], clear_traps=[SITE]), situation(UDF.to_bytes(4, "little"), hits=(True, False))),
        ("optimize", plan_patch([Write(SITE, PUSH, DETOUR, "")], clear_traps=[SITE]),
         situation(UDF.to_bytes(4, "little"), hits=(True, True))),
        ("unoptimize", plan_patch([Write(SITE, DETOUR, PUSH, "")], set_traps=[SITE]),
         situation(DETOUR, hits=(True, True))),
    ],
)  # fmt: skip
def test_traps_that_the_target_sets_by_itself_are_proven_under_a_stop(verb, plan, before):
    result = check(protocol_of(plan, before, name=verb), cores=CORES, passes=PASSES)
    assert result.safe, describe(result)
    with pytest.raises(Refused, match=r"^it needs a stop: the target changes its own traps only while stopped$"):
        protocol_of(plan, before, name="it", running=True)


def test_other_sites_of_a_batch_do_not_count():
    writes = [Write(SITE, PUSH, DETOUR, "one"), Write(SITE + 64, PUSH, DETOUR, "another")]
    before = situation(PUSH, hits=(False, True), armed=None)
    alone, batch = (protocol_of(plan_patch(sites), before, name="it") for sites in (writes[:1], writes))
    assert batch.operations == alone.operations


def test_a_plan_that_publishes_a_slot_before_its_code_is_rejected():
    new = Stub(0xA000, 0xA080, False, entry=0xA000, copy=0xA040)
    moved = branch_word(SITE, new.start).to_bytes(4, "little")
    plan = plan_patch([Write(SITE, DETOUR, moved, "site")], new_code=[Write(new.start, None, bytes(0x80), "slot")])
    before = Situation(SITE, PUSH, DETOUR, UDF, (NEAR, new), (True, True), armed=0, frees=(0,))
    assert check(protocol_of(plan, before, name="right", running=True)).safe
    wrong = PatchPlan((plan.steps[2], plan.steps[3], *plan.steps[:2]), plan.classification)
    assert check(emulated_protocol_of(plan, before, name="right")).safe
    for protocol in (
        protocol_of(wrong, before, name="wrong", running=True), emulated_protocol_of(wrong, before, name="wrong"),
    ):  # fmt: skip
        result = check(protocol)
        assert result.violation is not None
        assert result.violation.text == "fetches what was in the stub before its code"


def test_a_plan_without_its_synchronisation_is_rejected():
    plan = plan_patch([Write(SITE, PUSH, DETOUR, "site")])
    before = situation(PUSH, hits=(False, True), armed=None)
    bare = PatchPlan(tuple(step for step in plan.steps if not isinstance(step, Sync)), plan.classification)
    assert check(protocol_of(plan, before, name="right")).safe
    result = check(protocol_of(bare, before, name="wrong"))
    assert result.violation is not None
    assert result.violation.invariant == "I8"


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (branch_word(SITE, 0xB000), "0x0000b000 is neither the site nor a place in one of its slots"),
        (0xE1A00000, "0xe1a00000 is neither the original, nor the trap, nor a branch"),  # mov r0, r0
    ],
)
def test_a_plan_that_writes_something_unknown_is_no_protocol(after, message):
    plan = plan_patch([Write(SITE, PUSH, after.to_bytes(4, "little"), "site")])
    with pytest.raises(UsageError, match=f"^{message}$"):
        protocol_of(plan, situation(PUSH, hits=(False, True)), name="it")
