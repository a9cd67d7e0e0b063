"""What all commands that work on a program have in common: the program, its machine, and the session on it."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from armprobe.cli.slot_memory import check_slots, missing_slots, to_memory, to_slots
from armprobe.cli.text import many, notice, read_number
from armprobe.errors import UsageError
from armprobe.probes.in_place import describe
from armprobe.session import (
    MACHINES,
    Session,
    as_process,
    attach_gdb,
    attach_kernel,
    emulate,
    image_of,
    spawn,
)
from armprobe.session.slot_regions import check_started, slot_regions
from armprobe.symbols.image import Image
from armprobe.symbols.location import resolve
from armprobe.symbols.table import SymbolTable
from armprobe.targets.base import Region, StopReason
from armprobe.targets.machine import CPUS


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """The program to load, and how it gets to the moment when probes are planted.

    A live kernel (`kernel`) is behind `gdb`; its `path`, if any, is that of its symbols. With `spawn`, a Linux process
    is started, whose libraries are below `root`: then standard output is its own.
    """

    path: Path | None
    machine: str | None
    cpu: str | None
    base: int | None
    slots: tuple[Region | str, ...]
    memory: tuple[Region, ...]
    after: str | None
    bias: int
    gdb: str | None
    kernel: bool
    spawn: bool
    root: Path | None
    monitor: tuple[str, ...]
    journal: Path | None


def to_number(_context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Read a number, decimal or hexadecimal with 0x."""
    if value is None:
        return None
    number = read_number(value)
    if number is None:
        raise UsageError(f"wanted a number for {option.opts[0]}, got {value!r}", hint="for example 4096 or 0x1000")
    return number


def _one_of(what: str, names: Sequence[str]) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
        if value is None or value in names:
            return value
        similar = difflib.get_close_matches(value, names, n=1)
        if value.startswith("cortex-m"):
            hint = "Cortex-M processors run T32 only, which is not supported yet"
        elif similar:
            hint = f"did you mean {similar[0]}?"
        else:
            hint = f"known are: {', '.join(names)}"
        raise UsageError(f"there is no {what} {value!r}", hint=hint)

    return check


#: the pattern of a command that was given none
ANY = "*"
journal_option = click.option(
    "--journal", metavar="FILE", type=click.Path(path_type=Path),
    help="With --gdb: where it is noted what `armprobe restore` undoes (default: in $XDG_STATE_HOME/armprobe).",
)  # fmt: skip
_PARAMETERS = (
    click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path), required=False),
    click.option(
        "--machine", callback=_one_of("machine", MACHINES), metavar="NAME",
        help="The board: virt is QEMU's ARM virtual machine.",
    ),
    click.option(
        "--cpu", callback=_one_of("processor", [cpu.name for cpu in CPUS]), metavar="NAME",
        help="The processor, for example cortex-a9.",
    ),
    click.option("--base", callback=to_number, metavar="ADDRESS", help="Where a raw binary is loaded."),
    click.option(
        "--slots", callback=to_slots, metavar="START:END|VARIABLE", multiple=True,
        help="Memory that the program does not use, for the code that armprobe makes.",
    ),
    click.option(
        "--memory", callback=to_memory, metavar="START:END[:ro]", multiple=True,
        help="With --gdb: memory that handlers may read, where the stub does not tell: RAM, and with :ro flash.",
    ),
    click.option(
        "--after", metavar="LOCATION",
        help="Plant probes when the program comes to LOCATION: a program that copies its own code must have done so.",
    ),
    click.option(
        "--bias", callback=to_number, metavar="BYTES", default="0",
        help="With --after: the program has moved itself up by BYTES, and its symbols with it.",
    ),
    click.option(
        "--gdb", metavar="HOST:PORT",
        help="The program runs behind a GDB stub: QEMU, OpenOCD, gdbserver. Needs --slots but for gdbserver.",
    ),
    click.option(
        "--kernel", is_flag=True,
        help="With --gdb: QEMU runs a Linux kernel. IMAGE may be left out, or be its vmlinuz, vmlinux or System.map "
        "or a copy of /proc/kallsyms.",
    ),
    click.option(
        "--spawn", is_flag=True,
        help="Start IMAGE as a Linux program under qemu-arm. Standard output is its own; results go to standard error.",
    ),
    click.option(
        "--root", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Where a Linux program finds its libraries: with --spawn as qemu-arm -L, with --gdb a copy of them.",
    ),
    click.option(
        "--monitor", metavar="COMMAND", multiple=True,
        help="With --gdb: a command for the stub's server, executed first of all; for example `reset halt` (OpenOCD).",
    ),
    journal_option,
)  # fmt: skip


def program_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a program; it gets them as the argument `program`."""

    @functools.wraps(command)
    def with_program(
        *, image: Path | None, machine: str | None, cpu: str | None, base: int | None,
        slots: tuple[Region | str, ...], memory: tuple[Region, ...],
        after: str | None, bias: int, gdb: str | None, kernel: bool, spawn: bool, root: Path | None,
        monitor: tuple[str, ...], journal: Path | None, **rest: Any,
    ) -> Any:  # fmt: skip
        if kernel and image is not None and not image.exists():
            image, rest = _first_of_rest(image, rest)
        if image is None and not kernel:
            raise click.UsageError("Missing argument 'IMAGE'.", ctx=click.get_current_context())
        if bias and after is None:
            raise UsageError(
                "--bias is for a program that moves itself, and that takes a while",
                hint="say with --after LOCATION when it has done so",
            )
        if gdb is not None and machine is not None:
            raise UsageError(
                "--machine is for the embedded emulator, and --gdb for a program that runs elsewhere",
                hint="leave one of them out",
            )
        if kernel and (gdb is None or slots or any(value is not None for value in (machine, cpu, base, after))):
            raise UsageError(
                "--kernel wants --gdb HOST:PORT, and none of --machine, --cpu, --base, --slots and --after",
                hint="for example --kernel --gdb :1234",
            )
        if monitor and (gdb is None or kernel):
            raise UsageError(
                "--monitor is for the server behind a GDB stub: it wants --gdb HOST:PORT, without --kernel",
                hint="for example --gdb :3333 --monitor 'reset halt'",
            )
        if memory and (gdb is None or kernel):
            raise UsageError(
                "--memory is for firmware behind a GDB stub that does not tell its memory: it wants --gdb HOST:PORT",
                hint="leave it out",
            )
        if journal is not None and gdb is None:
            raise UsageError(
                "--journal is for a target behind --gdb; the embedded emulator ends with armprobe", hint="leave it out"
            )
        if spawn and (gdb is not None or bias or slots or any(value is not None for value in (machine, cpu, base))):
            raise UsageError(
                "--spawn starts a Linux program, and takes none of --gdb, --machine, --cpu, --base, --bias and --slots",
                hint="leave them out",
            )
        if root is not None and not spawn and gdb is None:
            raise UsageError("--root is for a Linux program", hint="say --spawn, or --gdb HOST:PORT, as well")
        options = ProgramOptions(
            image, machine, cpu, base, slots, memory, after, bias, gdb, kernel, spawn, root, monitor, journal
        )
        return command(program=options, **rest)

    decorated: Callable[..., Any] = with_program
    for parameter in reversed(_PARAMETERS):
        decorated = parameter(decorated)
    return decorated


def _first_of_rest(image: Path, rest: dict[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """A kernel needs no file: what stands where one could be is what the command is about, if that can be more."""
    if rest.get("pattern") == ANY:
        return None, rest | {"pattern": str(image)}
    if "locations" in rest:
        return None, rest | {"locations": (str(image), *rest["locations"])}
    return image, rest


@contextmanager
def open_session(
    program: ProgramOptions, *, output: Callable[[bytes], object], arguments: Sequence[str] = ()
) -> Iterator[Session]:
    """Load the program, run it to the place of --after, and yield the session, whose target is restored at the end.

    `output` gets what the program prints. Raises UsageError when the program never comes to that place.
    """
    if program.kernel:
        with _attach_kernel(program, arguments) as kernel:
            yield kernel
        return
    assert program.path is not None
    if program.spawn:
        with spawn([program.path, *arguments], root=program.root, after=program.after) as process:
            yield process
        return
    image = Image.load(program.path, base=program.base)
    symbols = SymbolTable.from_image(image).rebased(program.bias)
    for place in (image, image.rebased(program.bias)):
        check_slots([slot for slot in program.slots if isinstance(slot, Region)], place)
    regions = slot_regions(program.slots, symbols, image.rebased(program.bias))
    with _start(program, image, output=output, arguments=arguments) as session:
        if program.gdb is not None and not program.slots and session.target.executable_memory is None:
            raise missing_slots(image.rebased(program.bias), session.target)
        linux = as_process(session)
        if linux is not None:
            symbols = session.symbols
            if linux.stops_at_calls:
                notice(
                    "gdbserver stops the program shortly at each of its system calls, or what was counted would go "
                    f"with it: {linux.stops_at_calls}"
                )
        if program.after is not None:
            _run_to(session, program.after, symbols)
            if session.libraries is not None:
                session.libraries.read()
                symbols = session.libraries.symbols()
        check_started(session.target, image.rebased(program.bias), program.slots, regions)
        expected = image.rebased(program.bias) if program.gdb is not None else None
        if linux is not None:
            expected = image_of(linux, image)
        own = Session(session.target, symbols=symbols, slots=regions, image=expected, libraries=session.libraries)
        try:
            with own:
                yield own
        finally:
            if own.copies:
                site, copy = own.copies[0]
                notice(
                    f"the program has copied code with probes in it: {many(len(own.copies), 'probe')} taken out of the "
                    f"copy (0x{site:08x} is at 0x{copy:08x}), which runs without; to probe it there: --after, --bias"
                )
            if own.in_place:
                notice(f"{describe(own.in_place)}; `armprobe restore --gdb {program.gdb}` gives it back later")


def _attach_kernel(program: ProgramOptions, arguments: Sequence[str]) -> Session:
    from armprobe.targets.linux_kernel import KernelTarget

    assert program.gdb is not None
    if arguments:
        raise UsageError("a kernel takes no arguments", hint="leave out what follows --")
    session = attach_kernel(program.gdb, image=program.path, journal=program.journal)
    assert isinstance(session.target, KernelTarget)
    session.runs_meanwhile = True
    notice(session.target.version)
    return session


def _start(
    program: ProgramOptions, image: Image, *, output: Callable[[bytes], object], arguments: Sequence[str]
) -> Session:
    if program.gdb is None:
        return emulate(
            image, machine=program.machine, cpu=program.cpu, arguments=[image.name, *arguments], output=output,
        )  # fmt: skip
    if arguments:
        raise UsageError("a program behind a GDB stub has got its arguments already", hint="leave them out")
    return attach_gdb(
        program.gdb, image, cpu=program.cpu, output=output, memory=program.memory, root=program.root,
        monitor=program.monitor, journal=program.journal,
    )  # fmt: skip


def _run_to(session: Session, where: str, symbols: SymbolTable) -> None:
    places = resolve(where, symbols)
    if len(places) > 1:
        raise UsageError(f"--after is one place, and {where!r} stands for {len(places)}")
    stop = session.run(until=places[0].address)
    if stop.reason is StopReason.INTERRUPT:
        raise KeyboardInterrupt
    if stop.reason is not StopReason.ADDRESS:
        raise UsageError(
            f"the program never came to {where}: {stop.reason.value} at 0x{stop.pc:08x}",
            hint="choose an earlier place for --after",
        )
