"""Memory that the user states, where a stub tells of none, and where it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.targets.contract import BASE, NOP
from tests.targets.stub import Stub, packet
from tests.targets.test_remotesetup import openocd

from armprobe import Image, Region, Session
from armprobe.cli.main import main
from armprobe.errors import Refused, UsageError
from armprobe.probes.word_search import can_search
from armprobe.symbols.table import SymbolTable
from armprobe.targets.fake import FakeTarget
from armprobe.targets.gdbremote import GdbRemoteTarget

RAM, SLOTS = Region(0x20000000, 0x20010000, name="ram"), Region(0x20010000, 0x20080000, name="slots")
FLASH = Region(0x100000, 0x110000, writable=False, name="rom")
IMAGE = Image.from_words([NOP] * 8, base=BASE)
READING = f"p {BASE:#x} word=+0(%r0):u32"


@pytest.fixture
def attach() -> Iterator[Callable[..., GdbRemoteTarget]]:
    with ExitStack() as stack:

        def attach(memory: list[Region], *, serve: Callable[[FakeTarget], Stub] = openocd) -> GdbRemoteTarget:
            fake = FakeTarget([NOP] * 8, base=BASE)
            for region in (RAM, SLOTS, FLASH):
                fake.map_memory(region)
            target = GdbRemoteTarget.connect(stack.enter_context(serve(fake)).address, memory=memory)
            stack.callback(target.detach)
            return target

        yield attach


def with_map(fake: FakeTarget) -> Stub:
    return Stub(
        fake,
        offers="qXfer:features:read+;qXfer:memory-map:read+;QStartNoAckMode+",
        memory_map='<memory-map><memory type="rom" start="0x100000" length="0x8000"/></memory-map>',
    )


def session_on(target: GdbRemoteTarget) -> Session:
    return Session(target, symbols=SymbolTable.from_image(IMAGE), slots=[SLOTS])


def test_where_nobody_tells_what_memory_there_is_handlers_that_read_some_are_refused(attach):
    target = attach([])
    assert not can_search(target)
    with session_on(target) as session, pytest.raises(Refused) as error:
        session.define(READING)
    assert re.search(r"here is none: the stub at \S+ does not say what memory there is$", error.value.message)
    assert error.value.hint.startswith("name it (--memory START:END, memory=[...])")


@pytest.mark.parametrize("serve", [openocd, lambda fake: openocd(fake, flash=True)], ids=["no map", "all is RAM"])
def test_handlers_read_what_the_user_states_and_all_ram_is_known_then(attach, serve):
    target = attach([RAM, FLASH], serve=serve)
    assert (target.no_memory, target.translation) == ("", None)
    assert can_search(target)
    with session_on(target) as session:
        session.define(READING)
        session.optimize_now()
        assert session._engine.instruments.memory.includes(RAM.start, 4)
        assert session._engine.instruments.memory.includes(FLASH.end - 4, 4)
        assert not session._engine.instruments.memory.includes(SLOTS.start, 4)
        assert not session._engine.instruments.memory.includes(BASE, 4)


def test_what_nobody_knows_of_can_be_written_and_its_stacks_are_searched(attach):
    target = attach([RAM])
    assert [region.name for region in target.regions if SLOTS.start in region] == ["unknown"]
    target.write_memory(SLOTS.start, b"1234")
    assert target.read_memory(SLOTS.start, 4) == b"1234"


def test_a_map_that_the_stub_has_is_completed(attach):
    target = attach([RAM], serve=with_map)
    assert [(region.start, region.writable) for region in target.regions] == [(0x100000, False), (RAM.start, True)]


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ([Region(0x20000000, 0x20000002)], "memory 0x20000000:0x20000002 is no START below END, both multiples of 4"),
        ([Region(8, 4)], "memory 0x00000008:0x00000004 is no START below END, both multiples of 4"),
        ([RAM, Region(0x2000F000, 0x20011000)],
         "memory 0x20000000:0x20010000 and 0x2000f000:0x20011000 overlap"),
        ([Region(0x20000000, 0x20100000)],
         "memory 0x20000000:0x20100000 can't be read as a whole: cannot read 4 bytes at 0x200ffffc: "),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(attach, memory, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        attach(memory)


def test_what_the_stub_knows_better_is_refused(attach):
    message = "memory 0x00100000:0x00110000 is not what the stub says: rom is at 0x00100000:0x00108000"
    with pytest.raises(UsageError, match=f"^{message}$") as error:
        attach([Region(FLASH.start, FLASH.end)], serve=with_map)
    assert error.value.hint == "say 0x00100000:0x00110000:ro, or leave it out"
    assert attach([FLASH], serve=with_map).regions[1].start == 0x108000


@pytest.mark.parametrize("value", ["0x1000", "0x1000:0x800", "0x1000:0x2000:rw", "1:2:ro:ro", "a:b", ""])
def test_the_option_takes_start_and_end(value: str, capsys):
    assert main(["stat", "firmware.elf", "--gdb", ":1", "-e", "main", "--memory", value]) == 2
    assert f"wanted START:END[:ro] for --memory, with START below END, got {value!r}" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--kernel", "--gdb", ":1"]])
def test_the_option_is_for_firmware_behind_a_stub(options: list[str], capsys):
    assert main(["stat", "firmware.elf", "-e", "main", "--memory", "0x1000:0x2000", *options]) == 2
    assert "--memory is for firmware behind a GDB stub that does not tell its memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ('FlatView #0\n AS "memory", root: system\n  what is this?\n',
         "the memory tree of QEMU has a line of an unknown kind: 'what is this?'"),
        (None, "takes no commands, or not 'info mtree -f'"),
    ],
)  # fmt: skip
def test_a_qemu_that_is_not_understood_is_told_and_the_user_may_state_memory(attach, tree: str | None, message: str):
    def qemu(fake: FakeTarget) -> Stub:
        def answer(request: bytes) -> bytes | None:
            if request == b"qqemu.PhyMemMode":
                return packet(b"0")
            if request.startswith(b"qRcmd,") and tree is not None:
                return packet(tree.encode().hex().encode())
            return None

        return Stub(fake, packet_size=0x1000, answer=answer)

    assert message in attach([], serve=qemu).no_memory
    assert attach([RAM], serve=qemu).no_memory == ""
