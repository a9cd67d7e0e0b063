"""Ways to a session: the embedded emulator, a GDB stub, a live Linux kernel."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

from armprobe.errors import UsageError
from armprobe.probes.in_place import give_back
from armprobe.session.journal import Owner, holding, let_go
from armprobe.session.session import Session
from armprobe.session.slot_regions import check_started, slot_regions
from armprobe.symbols.image import Image, Symbol
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Region
from armprobe.targets.interrupt import hold_interrupt

MACHINES = ("virt",)

#: bytes to take from a kernel: so many, or else so many
_KERNEL_MEMORY = (4 << 20, 1 << 20)


def emulate(
    program: str | Path | Image,
    *,
    machine: str | None = None,
    cpu: str | None = None,
    base: int | None = None,
    arguments: Sequence[str] = (),
    output: Callable[[bytes], object] | None = None,
    slots: Sequence[Region] = (),
) -> Session:
    """Load a program into the embedded emulator and start a session on it.

    `program` is an ELF file, a raw binary with the address `base`, or an Image. `machine` names a board ("virt": the
    ARM virtual machine of QEMU); without one, memory is the image, a heap and a stack, and output is by semihosting.
    `arguments` are what the program was started with; `output` gets the bytes it prints (default: standard output).
    Raises UsageError for a file that is no ARM program and for an unknown machine or CPU, MissingDependency without
    Unicorn.
    """
    from armprobe.targets.unicorn import UnicornTarget

    image = program if isinstance(program, Image) else Image.load(program, base=base)
    print_bytes = output if output is not None else _print
    board = None
    if machine is not None:
        if machine not in MACHINES:
            raise UsageError(f"there is no machine {machine!r}", hint=f"machines are {', '.join(MACHINES)}")
        from armprobe.targets.virt import virt

        board = virt(print_bytes)
    target = UnicornTarget.from_image(
        image, cpu=cpu, machine=board, output=print_bytes, arguments=arguments, slots=slots
    )
    return Session(target, symbols=SymbolTable.from_image(image), slots=slots)


def attach_gdb(
    address: str,
    program: str | Path | Image,
    *,
    cpu: str | None = None,
    base: int | None = None,
    output: Callable[[bytes], object] | None = None,
    slots: Sequence[Region | str] = (),
    memory: Sequence[Region] = (),
    root: str | Path | None = None,
    monitor: Sequence[str] = (),
    journal: str | Path | None = None,
) -> Session:
    """Take hold of the program behind the GDB stub at `HOST:PORT`, and start a session on it.

    The stub is that of QEMU, OpenOCD, a debug probe or gdbserver; `:PORT` is this computer. The program stands still
    until `run`; leaving the session restores it and lets it run on. `program` is what runs there: an ELF file, a raw
    binary with the address `base`, or an Image. `slots` are regions of its memory that it does not use, or names of
    variables that were set aside for that: armprobe finds none by itself, but in a Linux process (gdbserver), whose
    libraries are looked for below the directory `root`, then where it runs. `memory` is for a stub that does not tell
    what memory there is, as OpenOCD's: regions that handlers in the target may read at all times, and all of the RAM in
    which the program keeps data is among them; `writable=False` for the others. QEMU tells itself. `cpu` names the
    processor where the stub does not tell (default: an ARMv7 one). `output` gets what the program prints through the
    stub (default: standard output). `monitor` are commands for the stub's server, as after GDB's `monitor`, that it
    executes first, one after the other; what it prints goes to standard error. Later ones are for
    `session.target.monitor`. `journal` is the file that says what `restore` undoes, should this process be killed
    (default: in the user's directory for state).
    Before a probe is placed, the code of the program is compared with the target's; what differs is refused.
    Raises TargetLost when no stub answers, UsageError for a file or a target that is no 32-bit ARM program and for
    memory that is not there, TargetError when a command fails, Refused when another session works on the target, or one
    did not end.
    """
    from armprobe.targets.gdbremote import GdbRemoteTarget
    from armprobe.targets.machine import cpu_named

    image = program if isinstance(program, Image) else Image.load(program, base=base)
    architecture = None if cpu is None else cpu_named(cpu).architecture
    symbols = SymbolTable.from_image(image)
    regions = slot_regions(slots, symbols, image)
    with holding(address, journal) as file:
        file.refuse_leftovers(address)
        file.begin(Owner(address, False, image.name, _digest(image), os.getpid()))
        target = GdbRemoteTarget.connect(
            address, architecture=architecture, output=output if output is not None else _print, journal=file
        )
    try:
        for command in monitor:
            sys.stderr.write(target.monitor(command))
            sys.stderr.flush()
        if memory and target.process:
            raise UsageError(
                f"the memory of {target.name}, a Linux process, is known: it takes no `memory`", hint="leave it out"
            )
        if memory:
            target.memory.state(memory)
        if file.left.in_place:
            give_back(target, list(file.left.in_place))
        check_started(target, image, slots, regions)
    except BaseException:
        let_go(target.detach, file)
        raise
    if target.process:
        from armprobe.session.process import attach_process

        return attach_process(target, image, journal=file, root=root, slots=regions)
    return Session(
        target,
        symbols=symbols,
        slots=regions,
        detach=partial(let_go, target.detach, file),
        image=image,
    )


def attach_kernel(
    address: str,
    *,
    image: str | Path | None = None,
    memory: int | None = None,
    journal: str | Path | None = None,
) -> Session:
    """Take hold of the live Linux kernel behind QEMU's GDB stub at `HOST:PORT`, and start a session on it.

    Nothing has to be installed in the guest. It runs while its symbols are looked through; from the end of this until
    `run`, all processors stand still. Leaving the session restores the kernel and lets it run on. Its symbols come from
    its own memory, or from the file `image`: its vmlinuz, vmlinux or System.map, or a copy of /proc/kallsyms. `memory`
    is what armprobe takes from the kernel for its code and data, in bytes (default: 4 MiB, or 1 MiB where it has no
    more in reach of its code); the kernel runs for a moment to give it. `journal` is as for `attach_gdb`.
    Raises TargetLost when no stub answers, UsageError when no kernel of a known kind runs there, or the file is of
    another one, Refused when the kernel gives no memory in reach of its code, when another session works on it, or one
    did not end.
    """
    from armprobe.session.modules import Modules
    from armprobe.symbols.kallsyms import find_banner, read_tables
    from armprobe.symbols.kernelimage import check_running, load_kernel_image
    from armprobe.symbols.kernellimits import kernel_refusals
    from armprobe.symbols.kerneltable import KernelPart
    from armprobe.symbols.kerneltables import find_tables
    from armprobe.targets.linux_kernel import KernelTarget

    named = None if image is None else load_kernel_image(image)
    with holding(address, journal) as file:
        file.refuse_leftovers(address)
        target = KernelTarget.connect(address, journal=file)
    try:
        # The kernel runs while what was read of it is looked through.
        with target.meanwhile():
            code, constants = target.read_many(
                [(part.start, part.end - part.start) for part in (target.text, target.constants)]
            )
            target.known_code = target.text.start, code
            target.version = find_banner(constants)
            own: tuple[Symbol, ...] = ()
            with nullcontext() if named is None else suppress(UsageError):
                own = read_tables(constants, base=target.constants.start)
            if named is not None:
                check_running(named, target.version, own)
                own = named.symbols
            functions = {symbol.name: symbol.address for symbol in own if symbol.function}
            start = target.text.start
            tables = find_tables(constants, code, start, jump_labels="arch_jump_label_transform" in functions)
            refused = kernel_refusals(own, code, start, tables=tables)
            debug = () if named is None else named.debug
            part = KernelPart(own, start, target.text.end, refused, tables.jump_labels, debug)
            modules = Modules(target, part, functions)
        file.begin(Owner(address, True, "Linux", target.version, os.getpid()))
        with hold_interrupt():
            target.take_memory(functions, _KERNEL_MEMORY if memory is None else [-(-memory // 4096) * 4096])
        modules.begin()
        return Session(
            target,
            symbols=modules.symbols,
            detach=partial(let_go, target.detach, file),
            live=target,
            modules=modules,
        )
    except BaseException:
        let_go(target.detach, file)
        raise


def _digest(image: Image) -> str:
    digest = hashlib.sha256()
    for part in image.segments:
        digest.update(part.address.to_bytes(4, "little") + part.data)
    return digest.hexdigest()


def _print(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
