"""One instruction and a new place for it: a plan of steps that leave every effect as it was, or Refused.

The plan holds steps, not bytes: `codegen` assembles them where they will stand. The condition of the instruction is
tested before its copy is reached (by the trap handler, or by the branch at the site), so every step is unconditional.
"""

from __future__ import annotations

from dataclasses import dataclass

from armprobe.isa.insn import Insn


@dataclass(frozen=True, slots=True)
class Word:
    """One instruction, executed as it is."""

    word: int


@dataclass(frozen=True, slots=True)
class Constant:
    """`register` := `value`; no flag and no other register changes."""

    register: int
    value: int


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on at `target` (bit 0 set: in T32); no register and no flag changes."""

    target: int


Step = Word | Constant | Jump


@dataclass(frozen=True, slots=True)
class Relocation:
    """How the instruction at `address` is executed elsewhere.

    `verbatim`: the steps are the instruction itself. `falls_through`: control can reach the end of the steps, so that a
    way back to the next instruction must follow.
    """

    address: int
    insn: Insn
    steps: tuple[Step, ...]
    verbatim: bool
    falls_through: bool


def relocate(insn: Insn, address: int, *, architecture: int = 7) -> Relocation:
    """Plan the execution of `insn`, which stands at `address`, at another place. Raises Refused with the reason."""
    raise NotImplementedError
