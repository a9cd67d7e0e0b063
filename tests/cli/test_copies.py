"""A program that copies its code with probes in it, on the command line."""

from __future__ import annotations

from tests.cli.conftest import EXIT
from tests.probes.test_copies import WORDS

#: further on in the program than code for probes is long
COPY = 0x28800


def test_a_notice_says_that_the_copy_has_no_probes(run, binary):
    code = binary(*WORDS[: 18 - len(EXIT)], *EXIT, COPY, *[0] * 0x8400)
    outcome = run("stat", code, "--base", "0x8000", "-e", "0x8024", "-e", "0x8028", "-e", "0x8000")
    assert outcome.status == 0
    assert outcome.err == (
        "1 hit of 3 probes; the program ended with exit code 0\n"
        "the program has copied code with probes in it: 2 probes taken out of the copy (0x00008024 is at 0x00028804), "
        "which runs without; to probe it there: --after, --bias\n"
    )
