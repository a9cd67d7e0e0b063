"""The protocols of the checker on four processors of QEMU: each pass as promised, each hit counted."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace

import pytest

from armprobe.errors import UsageError
from armprobe.isa.branch import branch_word
from armprobe.verification.patchmodel.catalogue import CATALOGUE
from armprobe.verification.patchmodel.explore import check
from armprobe.verification.patchmodel.vocabulary import Claim, Promise, Say, Store
from armprobe.verification.stress.run import VERBS, engine_protocols, run
from armprobe.verification.stress.table import MOST_STEPS, Step, steps_of

TOGGLES = int(os.environ.get("ARMPROBE_TOGGLES", "8000"))
SITE = 0x8000


@pytest.fixture
def tools():
    for program in ("qemu-system-arm", "arm-none-eabi-gcc"):
        if shutil.which(program) is None:
            (pytest.fail if "CI" in os.environ else pytest.skip)(f"{program} is missing; `make test` installs it")


def test_steps_are_the_operations_of_the_protocol_in_their_order():
    park = CATALOGUE["C1"].protocol
    data = steps_of([park], SITE)
    steps = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 12)]
    names = [Step(step).name for step in steps]
    assert names == [
        "SAY", "SAY", "STORE", "DC", "DSB", "IC", "DSB", "IPI", "WAIT_IPI", "CLAIM", "SAY", "END", "END",
    ]  # fmt: skip
    stored = data[2 * 12 : 3 * 12]
    assert stored == b"".join(word.to_bytes(4, "little") for word in (Step.STORE, SITE, branch_word(SITE, 0x9040)))


def test_what_a_processor_cannot_do_is_refused():
    with pytest.raises(UsageError, match=r"^A3: Arm\(stub=0\) is nothing that the image can do$"):
        steps_of([CATALOGUE["A3"].protocol], SITE)
    with pytest.raises(
        UsageError, match=rf"^{MOST_STEPS + 1} steps are too many: the image has room for {MOST_STEPS}$"
    ):
        steps_of([replace(CATALOGUE["C1"].protocol, operations=())] * MOST_STEPS, SITE)


@pytest.mark.slow
def test_a_hot_site_is_toggled_and_every_pass_is_as_promised(tools):
    """Reproduce: python -m armprobe.verification.stress --toggles N"""
    proven = []

    def protocols(engine, site):
        proven.extend(engine_protocols(engine, site))
        return proven

    outcome = run(TOGGLES, protocols=protocols)
    assert outcome.problems == ()
    assert outcome.toggles == TOGGLES
    assert [protocol.name for protocol in proven] == list(VERBS)
    assert all(check(protocol).safe for protocol in proven)
    assert [worker.hits for worker in outcome.workers] == list(outcome.counted)
    # The site was changed under processors on their way, and every promise was tried.
    assert sum(outcome.awake[1:]) > 0
    for worker in outcome.workers:
        assert worker.passes == worker.promised_hit + worker.promised_no_hit + worker.unpromised
        assert worker.promised_hit > 0
    assert sum(worker.promised_no_hit for worker in outcome.workers) > 0


def changed(name, change):
    """The engine's protocols, but with one of them changed."""

    def protocols(engine, site):
        return [
            replace(protocol, operations=tuple(change(protocol.operations, site)))
            if protocol.name == name
            else protocol
            for protocol in engine_protocols(engine, site)
        ]

    return protocols


def without_store(operations, site):
    return [operation for operation in operations if not isinstance(operation, Store | Claim)]


def behind_the_copy(operations, site):
    """Skips the displaced instruction, and goes on behind the site."""
    for operation in operations:
        if isinstance(operation, Store):
            yield replace(operation, value=branch_word(site.address, site.next_address))
        elif not isinstance(operation, Claim):
            yield operation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("park", without_store, r"processor \d: it hit, though no pass was promised to \(promises .*"),
        ("unpark", without_store, r"processor \d: it did not hit, though every pass was promised to \(promises .*"),
        ("park", behind_the_copy, r"processor \d: the displaced instruction was not executed once \(promises .*"),
        ("unoptimize", lambda operations, _: [*operations, Say(Promise.NO_HIT)],
         r"processor \d: it hit, though no pass was promised to \(promises .*"),
    ],
)  # fmt: skip
def test_a_protocol_that_is_wrong_is_noticed(tools, name, change, problem):
    outcome = run(600, protocols=changed(name, change))
    assert any(re.fullmatch(problem, found) for found in outcome.problems), outcome
