"""The modules of a live kernel: which there are, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from fnmatch import fnmatchcase

from armprobe.errors import Refused
from armprobe.symbols.kernelmodules import (
    SEEN_BYTES,
    KernelModule,
    Layout,
    Link,
    find_layout,
    find_list,
    identity,
    layout_of_coming,
    read_link,
    read_list,
    read_module,
    read_start,
)
from armprobe.symbols.kerneltable import EVERY_MODULE, KernelPart, kernel_table
from armprobe.symbols.modulelimits import ModuleLimits, module_limits
from armprobe.targets.linux_kernel import KernelTarget

#: is called, with a module, before its memory is freed: all of its code has run that will (kernel/module/main.c)
FREE = "free_module"
#: is called, with a module, when all is ready, and then calls the function of the module that begins it
START = "do_init_module"
#: are called with memory of modules that is about to be freed, that of the code of their starts among it: nothing runs
#: there any more (from 6.10 on, the second)
FREE_MEMORY = ("module_memfree", "execmem_free")
_WORD = 4


class Modules:
    """What the kernel behind `target` has loaded, as of the last `refresh`; `symbols` are kept up to date."""

    def __init__(self, target: KernelTarget, kernel: KernelPart, functions: Mapping[str, int]) -> None:
        """Nothing is read yet. `functions` are those of the kernel, by name."""
        self._target = target
        self._kernel = kernel
        self.functions = functions
        self.symbols = kernel_table(kernel)
        #: by what tells them from others; None where something is not as it must be
        self._known: dict[tuple[str | int, ...], tuple[KernelModule, ModuleLimits] | None] = {}
        #: the code of the start of modules that begin, as long as it is there, by the module's address
        self._starts: dict[int, tuple[KernelModule, ModuleLimits]] = {}
        #: modules that can't be probed, and why
        self._unknown: dict[str, str] = {}
        #: in which it is looked through
        self._meanwhile: Callable[[], AbstractContextManager[None]] = nullcontext
        self._head: int | None = None
        self._layout: Layout | None = None
        #: what was read of the list the last time, by address and size
        self._chain: dict[tuple[int, int], bytes] = {}

    def begin(self) -> None:
        """Find out what is loaded, before there are probes: the kernel runs while what was read is looked through."""
        self._meanwhile = self._target.meanwhile
        try:
            self.refresh()
        finally:
            self._meanwhile = nullcontext
        self.refresh(closely=True)

    def refresh(self, *, closely: bool = False) -> None:
        """Find out what is loaded, while the kernel stands still.

        Unless it looks `closely`, a module that was unloaded and loaded again where it was is taken for the old one.
        """
        if not closely and self._chain and self._target.read_mapped(list(self._chain)) == list(self._chain.values()):
            return
        try:
            found = self._read_list()
        except Refused as refusal:
            if self.symbols.left_out != {EVERY_MODULE: refusal.message}:
                self._known = {}
                self._unknown = {EVERY_MODULE: refusal.message}
                self._build()
            return
        if found.keys() != self._known.keys() or EVERY_MODULE in self._unknown:
            self._unknown = {}
            before, self._known = self._known, {}
            for key, link in found.items():
                self._known[key] = before.get(key) or self._read(link)
            self._build()

    def _read_list(self) -> dict[tuple[str | int, ...], Link]:
        """The modules that are there, by what tells them from others."""
        read = self._target.read_mapped
        if FREE not in self.functions:
            raise Refused(f"it has no function {FREE}, by which modules are seen to go")
        if self._head is None:
            self._head = find_list(read, self.functions)
        every = read_list(read, self._head)
        places = [(self._head, _WORD), *((link.address, SEEN_BYTES) for link in every)]
        self._chain = dict(zip(places, read(places), strict=True))
        known = {key[:2] for key in self._known}
        # One that is on its way in or out is known until it is gone.
        links = [link for link in every if link.live or (link.name, link.address) in known]
        if not links:
            return {}
        begun = [link for link in links if not link.coming]
        if begun:
            self._layout = find_layout(begun)
        assert self._layout is not None
        return {identity(link, self._layout): link for link in links}

    def _read(self, link: Link) -> tuple[KernelModule, ModuleLimits] | None:
        assert self._layout is not None
        try:
            module = read_module(self._target.read_mapped, link, self._layout)
            with self._meanwhile():
                return module, module_limits(module)
        except Refused as refusal:
            self._unknown[link.name] = refusal.message
            return None

    def _build(self) -> None:
        modules = [module for module in self._known.values() if module is not None]
        modules += self._starts.values()
        with self._meanwhile():
            self.symbols.become(kernel_table(self._kernel, modules, unknown=self._unknown))

    @property
    def names(self) -> list[str]:
        """Those of the modules that are known."""
        return [part.name for part in self.symbols.objects]

    def problem(self, file: str) -> str:
        """Why a module that is loaded and matches the shell pattern can't be probed; "" where there is none."""
        return next((reason for name, reason in self._unknown.items() if fnmatchcase(name, file)), "")

    def name_of(self, address: int) -> str:
        """The name of the module whose struct module is at the address."""
        return read_link(self._target.read_mapped, address).name

    def learn(self, address: int, *, start: bool) -> str:
        """Know a module of which no code has run yet, and its `start`; return why not, else ""."""
        read = self._target.read_mapped
        link = read_link(read, address)
        try:
            if self._layout is None:
                self._layout = layout_of_coming(read, link)
        except Refused as refusal:
            return refusal.message
        self._known[identity(link, self._layout)] = self._read(link)
        if start and link.name not in self._unknown:
            # Where that is not certain, it is left out as before.
            with suppress(Refused):
                part = read_start(read, link, self._layout)
                if part is not None:
                    self._starts[address] = part, module_limits(part)
        self._build()
        return self._unknown.get(link.name, "")

    def start_at(self, memory: int) -> tuple[int, int]:
        """The [start, end) of a module's code of the start that begins there; (0, 0) where none is known."""
        return next(((part.start, part.end) for part, _ in self._starts.values() if part.start == memory), (0, 0))

    def forget_start(self, memory: int) -> None:
        """Know nothing any more of the code of a start that begins there."""
        self._starts = {address: known for address, known in self._starts.items() if known[0].start != memory}
        self._build()

    def code_of(self, address: int) -> tuple[int, int]:
        """Where the code of the module lies whose struct module is at the address, if that can be known."""
        if self._layout is None:
            return 0, 0
        link = read_link(self._target.read_mapped, address)
        start = link.word(self._layout.code)
        return start, start + link.word(self._layout.size)

    def forget(self, address: int) -> None:
        """Know nothing any more of the module whose struct module is at the address."""
        self._chain.clear()
        before, self._known = self._known, {key: known for key, known in self._known.items() if key[1] != address}
        if len(before) != len(self._known):
            self._unknown.pop(self.name_of(address), None)
            self._build()
