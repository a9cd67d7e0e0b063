"""Is every operation of a right protocol needed? Each is left out once: that must break a rule, or be explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from armprobe.verification.patchmodel.vocabulary import Claim, Protocol, Say
from armprobe.verification.patchmodel.writer import describe

_LEAK = "nothing breaks when memory is kept for ever"
_LATER = "the synchronisation of the first word, which follows, does the same"

#: what may be left out after all, and why
EXPLAINED = {
    "B2n without 2. the site := ea0003fe (branch to hook)": "nothing changes then, and the trap goes on hitting",
    "C5 without 1. the site := ea00040e (branch to copy)": "a toggle that a later one repeats",
    "C5 without 2. the site := ea0003fe (branch to hook)": "a toggle that the next one undoes",
    "D3 without 14. free the stub": _LEAK,
    "D5 without 13. free the stub": _LEAK,
    "E2 without 13. no core before its handler": "then it is E3: a handler with neither probe nor trap tries again",
    "E2 without 14. disarm the table": "an entry for a trap that is gone is never looked up",
    "E3 without 13. disarm the table": "an entry for a trap that is gone is never looked up",
    "F4 without 18. free the stub": _LEAK,
    "F6 without 15. DSB": _LATER,
    "F6 without 16. ask all cores for a CSE": _LATER,
    "F6 without 17. all had a CSE": _LATER,
}


def deletions(protocol: Protocol) -> Iterator[Protocol]:
    """The protocol without its first operation, without its second, and so on.

    What it promises and claims is not left out: those are what it is judged by.
    """
    for number, operation in enumerate(protocol.operations):
        if isinstance(operation, Say | Claim):
            continue
        yield replace(
            protocol,
            name=f"{protocol.name} without {number + 1}. {describe(operation, protocol)}",
            operations=(*protocol.operations[:number], *protocol.operations[number + 1 :]),
        )
