"""Slots that the end of a session leaves in place, as a word of memory may be the PC of a task that sleeps in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.probes.interrupted import BASE, SITES, SLOTS, WORDS
from tests.targets.stub import Stub

import armprobe
from armprobe import Image, Region, Session
from armprobe.cli.main import main
from armprobe.errors import NoMemory, TargetError
from armprobe.session.journal import default_path
from armprobe.targets.fake import FakeTarget

IMAGE = Image.from_words(WORDS, base=BASE, name="loop.elf")
DATA = Region(0x200000, 0x201000, name="data")
#: where a stale word stands, as an interrupt leaves one on its stack
STALE = DATA.start + 0x40
#: of the first probe: behind a piece for counters, and the mark of its own
CODE = SLOTS.start + 0x4000 + 16
MAP = "".join(
    f'<memory type="ram" start="{start:#x}" length="{end - start:#x}"/>'
    for start, end in ((BASE, BASE + 0x1000), (SLOTS.start, SLOTS.end), (DATA.start, DATA.end))
)


@contextmanager
def serving(**options: object) -> Iterator[Stub]:
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(SLOTS)
    fake.map_memory(DATA)
    fake.write_memory(SLOTS.start, bytes(range(256)) * ((SLOTS.end - SLOTS.start) // 256))
    offers = "QStartNoAckMode+;qXfer:features:read+;qXfer:memory-map:read+"
    with Stub(fake, packet_size=0x1000, offers=offers, memory_map=f"<memory-map>{MAP}</memory-map>", **options) as stub:
        yield stub


def attach(stub: Stub) -> Session:
    return armprobe.attach_gdb(stub.address, IMAGE, slots=[SLOTS])


def memory(stub: Stub, region: Region) -> bytes:
    return stub.target.read_memory(region.start, region.end - region.start)


def slot_of(session: Session, address: int) -> tuple[int, int]:
    code = session.explain(address).code
    return code.base, code.end


def leave_stale(stub: Stub, address: int = SITES[0]) -> tuple[int, int]:
    """Count at a place, leave a word that points into its slot, and end the session; return where the slot is."""
    with attach(stub) as session:
        session.count(address)
        session.optimize_now()
        start, end = slot_of(session, address)
        stub.target.write_memory(STALE, (start + 8).to_bytes(4, "little"))
    assert [(slot.start, slot.end, slot.site) for slot in session.in_place] == [(start, end, address)]
    assert session.in_place[0].where == f"the word at 0x{STALE:08x}"
    return start, end


def test_a_stale_word_keeps_a_slot_and_what_it_counts_in_and_nothing_else():
    with serving() as stub:
        code, before = memory(stub, Region(BASE, BASE + 0x100)), memory(stub, SLOTS)
        start, end = leave_stale(stub)
        assert memory(stub, Region(BASE, BASE + 0x100)) == code
        after = memory(stub, SLOTS)
        changed = [SLOTS.start + at for at in range(len(after)) if after[at] != before[at]]
        in_code = [at for at in changed if start <= at < end]
        assert in_code
        rest = [at for at in changed if at not in range(start, end)]
        assert max(rest) - min(rest) < 0x4000, "one chunk of data"


@pytest.mark.slow
def test_later_sessions_leave_it_alone_and_give_it_back_once_nothing_points_there():
    with serving() as stub:
        before = memory(stub, SLOTS)
        start, end = leave_stale(stub)
        kept = memory(stub, Region(start, end))
        for _ in range(3):
            with attach(stub) as session:
                session.count_all(SITES)
                session.optimize_now()
                session.run(limit=20)
                assert all(not start <= slot_of(session, site)[0] < end for site in SITES)
            assert session.in_place == ()
            assert memory(stub, Region(start, end)) == kept
        stub.target.write_memory(STALE, bytes(4))
        attach(stub).close()
        assert memory(stub, SLOTS) == before
        assert not default_path(stub.address).exists()


def test_restore_gives_it_back_and_is_content_as_long_as_it_can_not(capsys):
    with serving() as stub:
        before = memory(stub, SLOTS)
        start, end = leave_stale(stub)
        for _ in range(2):
            assert main(["restore", "--gdb", stub.address]) == 0
            printed = capsys.readouterr()
            assert printed.out == "put 0 words of code back\n"
            assert printed.err == (
                f"1 slot at 0x{start:08x}..0x{end:08x} was left in place, as the word at 0x{STALE:08x} may be the "
                "saved PC of a sleeping task; it is in memory that the program does not use, and harmless\n"
            )
        stub.target.write_memory(STALE, bytes(4))
        assert main(["restore", "--gdb", stub.address]) == 0
        assert capsys.readouterr().out.startswith("gave ")
        assert memory(stub, SLOTS) == before
        assert armprobe.restore(stub.address) is None


def test_a_target_that_was_restarted_has_no_slots_in_place():
    with serving() as stub:
        leave_stale(stub)
        stub.target.write_memory(SLOTS.start, bytes(SLOTS.end - SLOTS.start))
        attach(stub).close()
        assert memory(stub, SLOTS) == bytes(SLOTS.end - SLOTS.start)
        assert not default_path(stub.address).exists()


def test_a_command_tells_of_it_and_has_done_its_work(tmp_path: Path, capsys):
    program = tmp_path / "loop.bin"
    program.write_bytes(IMAGE.segments[0].data)

    def leave_word(request: bytes) -> None:
        if request.startswith(b"vCont;s"):
            stub.target.write_memory(STALE, CODE.to_bytes(4, "little"))

    with serving(answer=leave_word) as stub:
        address = stub.address
        command = ["stat", str(program), "--base", hex(BASE), "--gdb", address, "-e", hex(SITES[0])]
        assert main([*command, "--slots", f"{SLOTS.start:#x}:{SLOTS.end:#x}", "--limit", "9"]) == 0
    *_, told = capsys.readouterr().err.splitlines()
    assert told.startswith(f"1 slot at 0x{CODE:08x}..0x")
    assert told.endswith(f"; `armprobe restore --gdb {address}` gives it back later")


def test_memory_for_slots_that_comes_to_an_end_says_what_is_in_place():
    small = Region(SLOTS.start, CODE + 0x100)
    with serving() as stub:
        leave_stale(stub)
        with armprobe.attach_gdb(stub.address, IMAGE, slots=[small]) as session, pytest.raises(NoMemory) as error:
            session.count_all(range(BASE, BASE + 0xF0, 4))
        assert "bytes have code of earlier sessions in them: `armprobe restore" in error.value.hint


def test_a_branch_that_can_not_be_taken_away_keeps_its_slot():
    with serving() as stub:
        session = attach(stub)
        session.count(SITES[0])
        session.optimize_now()
        start, end = slot_of(session, SITES[0])
        stub._flash = range(BASE, BASE + 0x100)
        code = memory(stub, Region(start, end))
        with pytest.raises(TargetError, match=r"^1 change could not be undone$"):
            session.close()
        assert memory(stub, Region(start, end)) == code
        stub._flash = range(0)
        assert armprobe.restore(stub.address).complete
