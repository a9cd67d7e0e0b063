"""The caches of the model against what is published about instruction fetch."""

from __future__ import annotations

import pytest

from armprobe.verification.patchmodel.litmus import SHAPES, WEAKER, observable


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_model_is_never_stronger_than_the_architecture_and_weaker_only_where_it_says_so(shape):
    """Allowed by the architecture: seen in the model. Forbidden: not seen, but for a list with reasons."""
    assert observable(shape) is (shape.allowed or shape.name in WEAKER)


def test_what_the_model_is_said_to_be_weaker_in_is_forbidden_by_the_architecture():
    assert {shape.name for shape in SHAPES if not shape.allowed} >= set(WEAKER)


def test_both_verdicts_are_exercised():
    assert sum(shape.allowed for shape in SHAPES) == 15
    assert sum(not shape.allowed for shape in SHAPES) == 11
