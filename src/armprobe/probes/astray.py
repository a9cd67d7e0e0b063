"""Programs on boards that have copied their code with our branches in it, and go astray where a copy of one leads to.

A copy of a branch leads as far past its detour as the copy is past the site. In the embedded emulator the fault that
comes of it ends the run (`copies`). On a board it is the program's: its own handler of exceptions gets it. So while
branches are planted, the target stops where that handler begins, and memory is searched for copies of them. Where there
is one that led there at once, the copies are mended and the processor returns from the exception; where it cannot be
told which one it was, the run ends with the reason. Where there is none, the exception is the program's own affair, and
none of them stops it any more. A program that is stopped elsewhere than in its own code is looked at likewise, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from armprobe.errors import TargetError, TargetLost
from armprobe.probes.copies import describe_copy, likeness, mend_copies, proves_copy
from armprobe.probes.sleepers import writable_memory
from armprobe.probes.state import SiteState
from armprobe.probes.word_search import find_words_in
from armprobe.targets.base import Stop, StopReason

if TYPE_CHECKING:
    from armprobe.probes.engine import Engine
    from armprobe.probes.site import Site
    from armprobe.symbols.image import Image

#: how many sites are looked for: a program copies its code, not single functions
_SOUGHT = 4
_WORD = 4
#: subs pc, lr, #4 (DDI 0406C B9.3.20)
_RETURN = 0xE25E_F004


class Astray:
    """Finds out whether a copy of a branch is why a program came to its handler of exceptions."""

    def __init__(self, engine: Engine, image: Image | None) -> None:
        self._engine = engine
        self._image = image
        #: whether the program has such exceptions by itself
        self._has_own = False
        #: whether memory was searched because the program was elsewhere than in its own code
        self._sought = False
        self._vectors: tuple[int, ...] = ()
        self._copy: tuple[Site, int] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Stop at the program's handlers of exceptions within the block, where the target knows them."""
        target = self._engine.target
        wanted = not self._has_own and target.breakpoints is not None and self._branches()
        vectors = [at for at in target.vectors if at not in self._engine.sites] if wanted else []
        if vectors and target.breakpoints is not None:
            with suppress(TargetError):  # it goes on without: it is about a reason alone
                target.breakpoints.insert(vectors)
                self._vectors = tuple(vectors)
        try:
            yield
        finally:
            self._leave()

    def mend(self, stop: Stop) -> list[tuple[Site, int]] | None:
        """Mend what the program has copied, if that is why it stopped, so that it may go on; None where it may not.

        The list has the sites and the addresses of their copies; none for an exception of the program's own.
        """
        target = self._engine.target
        sites = self._engine.sites.values()
        if stop.reason is not StopReason.TRAP or stop.pc not in self._vectors:
            return (target.journal is None and mend_copies(target, sites, stop, self._go_on_at)) or None
        self._copy = self._find()
        if self._copy is None:
            self._has_own = True
            self._leave()
            return []
        mended = mend_copies(target, sites, Stop(StopReason.FAULT, self._failed()), self._return_to)
        if mended:
            self._copy = None
        return mended or None

    def _failed(self) -> int:
        """Where the exception was: LR of its mode is behind the instruction, or the word that could not be fetched."""
        return self._engine.target.read_registers().lr - _WORD & 0xFFFFFFFF

    def _go_on_at(self, place: int) -> None:
        target = self._engine.target
        registers = target.read_registers()
        registers.pc = place
        target.write_registers(registers)

    def _return_to(self, place: int) -> None:
        """Have the processor return from the exception, to `place`: only it knows the state from before."""
        engine, target = self._engine, self._engine.target
        slot = engine.slots.allocate(_WORD)
        target.write_memory(slot.address, _RETURN.to_bytes(_WORD, "little"))
        registers = target.read_registers()
        registers.pc, registers.lr = slot.address, place + _WORD
        target.write_registers(registers)
        target.run(lambda _: False, limit=1)
        engine.slots.free(slot)

    def explain(self, stop: Stop) -> Stop:
        """The same stop, or where the program has gone astray, the fault that it is."""
        copy, self._copy = self._copy, None
        pc = stop.pc if copy is None else self._failed()
        if copy is None and stop.reason is StopReason.INTERRUPT and self._is_elsewhere(pc):
            # Zeros are instructions, and some machines in QEMU have zeros everywhere.
            self._sought, copy = True, self._find()
        if copy is None:
            return stop
        message = describe_copy(self._engine, *copy)
        return replace(stop, reason=StopReason.FAULT, pc=pc, address=pc, message=message)

    def _is_elsewhere(self, pc: int) -> bool:
        """Whether a program on a board is neither in its own code nor in ours, for the first time."""
        if self._sought or self._image is None or not self._engine.target.vectors or not self._branches():
            return False
        return pc not in self._engine.slots and not any(part.address <= pc < part.end for part in self._image.segments)

    def _leave(self) -> None:
        target = self._engine.target
        vectors, self._vectors = [at for at in self._vectors if at not in self._engine.sites], ()
        if vectors and target.breakpoints is not None:
            with suppress(TargetLost):  # the program has ended, and the target with it
                target.breakpoints.remove(vectors)

    def _branches(self) -> list[Site]:
        states = (SiteState.OPTIMIZED, SiteState.PARKED)
        return [site for site in self._engine.sites.values() if site.state in states and site.planted != site.original]

    def _find(self) -> tuple[Site, int] | None:
        """A copy of a branch, wherever in memory it is, and the site of which it is."""
        target, sites = self._engine.target, self._branches()
        sought = {
            int.from_bytes(site.planted[:_WORD], "little"): site for site in sites[:: -(-len(sites) // _SOUGHT) or 1]
        }
        for address, word in find_words_in(target, writable_memory(target, self._image).spans, sought):
            site = sought[word]
            if address in self._engine.sites or address in self._engine.slots:
                continue
            if proves_copy(
                {each: likeness(target, each, address - site.address + each.address) for each in sites}, site
            ):
                return site, address
        return None
