"""The checker accepts what is right, and rejects what is not for the reason it must."""

from __future__ import annotations

import pytest

from armprobe.verification.patchmodel.catalogue import CATALOGUE
from armprobe.verification.patchmodel.explore import check

#: the two verdicts, as the reference gives them
# fmt: off
REJECTED = [
    "A1", "A2", "A4", "A5", "A6", "A7", "A8", "A9", "A10", "A11", "A12", "B1", "B4", "B6", "B7", "B9", "C2", "C4",
    "D1", "D2", "D4", "D6", "E1", "E4", "E5", "F1", "F5", "F7", "F8", "G1", "G2", "G3b", "G5", "G5l",
]
ACCEPTED = [
    "A3", "B2", "B2n", "B3", "B5", "B8", "C1", "C3", "C5", "C6", "D3", "D5", "E2", "E3", "F2", "F3", "F4", "F6",
    "G3", "G4", "G6", "G7", "G8",
]
# fmt: on


def test_the_catalogue_has_every_protocol_with_its_verdict():
    assert sorted(name for name, entry in CATALOGUE.items() if entry.breaks) == sorted(REJECTED)
    assert sorted(name for name, entry in CATALOGUE.items() if not entry.breaks) == sorted(ACCEPTED)


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize(("cores", "passes"), [(1, 2), (2, 1), (2, 2)])
def test_a_right_protocol_is_proven(name, cores, passes):
    result = check(CATALOGUE[name].protocol, cores=cores, passes=passes)
    assert result.safe, result


@pytest.mark.parametrize("name", REJECTED)
def test_a_wrong_protocol_is_rejected_for_its_reason(name):
    entry = CATALOGUE[name]
    result = check(entry.protocol)
    assert result.violation is not None
    assert result.violation.invariant == entry.breaks
    assert entry.how in result.violation.text
    assert result.run[-1].violation == result.violation
