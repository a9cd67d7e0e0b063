"""No operation of a right protocol is there for nothing."""

from __future__ import annotations

import pytest

from armprobe.verification.patchmodel.catalogue import CATALOGUE
from armprobe.verification.patchmodel.explore import check
from armprobe.verification.patchmodel.mutate import EXPLAINED, deletions


@pytest.mark.slow
def test_leaving_out_any_operation_breaks_a_rule_or_is_explained():
    mutants = [mutant for entry in CATALOGUE.values() if not entry.breaks for mutant in deletions(entry.protocol)]
    survivors = [mutant.name for mutant in mutants if check(mutant).safe]
    assert survivors == list(EXPLAINED)
    assert len(mutants) > 200
