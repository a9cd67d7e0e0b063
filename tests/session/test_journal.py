"""The file of a journal: what it holds after any end of its writer, who holds it, where it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from armprobe.errors import Refused, UsageError
from armprobe.session.journal import JournalFile, Owner, default_path, restore_command
from armprobe.targets.journal import (
    Call,
    CallEnded,
    Code,
    KernelMemory,
    KernelMemoryGone,
    Left,
    Memory,
    Pads,
    PadsGone,
    Settled,
    TargetGone,
    Traps,
    TrapsGone,
    Unmapped,
    Words,
)

ADDRESS = "127.0.0.1:1234"
OWNER = Owner(ADDRESS, False, "demo.elf", "00ff", 42)
MEMORY = Memory(0x1000, 0x2000, b"\0" * 16, b"m" * 16)
CHANGES = [
    MEMORY,
    Memory(0x3000, 0x4000, None, b"n" * 16),
    Words(((0x8000, b"old!", b"new!"), (0x8010, b"12345678", b"abcdefgh"))),
    Traps("0", (0x8000, 0x9000)),
    TrapsGone((0x8000,)),
    Unmapped(((0xB000, 0xC000),)),
    Code(0x1010, 0x1040, 0x8000, ((0x1020, 0x1030),)),
    Pads(0x1100, 0x1140, 4, 0x1200, True, (0x1130, 0x1134)),
    Pads(0x1200, 0x1240, 4, 0x1300, False),
    PadsGone(0x1200),
    Call(0x8800, tuple(range(16)), 0x1D3, 0x7FF8, 0x1300),
    KernelMemory(0xBF000000, 0xBF100000, b"k" * 16, (("panic", 0xC0001000),)),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "target.journal"


def written(path: Path) -> JournalFile:
    journal = JournalFile.open(path, ADDRESS)
    journal.begin(OWNER)
    for change in CHANGES:
        journal.note(change)
    return journal


def test_what_was_noted_is_read_again(path: Path):
    journal = written(path)
    assert journal.left == Left.of(CHANGES)
    journal.close()
    again = JournalFile.open(path, ADDRESS)
    assert (again.owner, again.left) == (OWNER, Left.of(CHANGES))
    assert again.remedy == f"`armprobe restore --gdb {ADDRESS} --journal {path}` undoes it"
    again.close()
    assert path.exists()


def test_a_journal_that_is_cut_anywhere_holds_what_was_whole(path: Path):
    written(path).close()
    whole = path.read_bytes()
    ends = [at + 1 for at in range(len(whole)) if whole[at : at + 1] == b"\n"]
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        journal = JournalFile.open(path, ADDRESS)
        lines = sum(end <= cut for end in ends)
        assert journal.left == Left.of(CHANGES[: max(lines - 1, 0)]), cut
        journal.note(Settled())
        journal.close()
        if journal.left:
            again = JournalFile.open(path, ADDRESS)
            assert again.left == journal.left
            again.close()


def test_a_journal_whose_changes_are_undone_is_removed(path: Path):
    journal = written(path)
    journal.note(Settled())
    assert journal.left.traps == {0x9000: "0"}
    journal.note(TrapsGone((0x9000,)), CallEnded(0), KernelMemoryGone())
    assert not journal.left
    journal.close()
    assert not path.exists()


def test_the_end_of_the_target_is_the_end_of_all_changes(path: Path):
    journal = written(path)
    journal.note(TargetGone())
    journal.close()
    assert not path.exists()


def test_a_program_that_changed_its_code_between_two_probes_keeps_the_change():
    left = Left.of(
        [
            Words(((0x8000, b"old!", b"trap"),)),
            Words(((0x8000, b"trap", b"jump"),)),
            Words(((0x8000, b"jump", b"old!"),)),
            Words(((0x8000, b"own!", b"trap"),)),
        ]
    )
    assert left.words == {0x8000: (b"own!", {b"trap"})}


def test_what_the_program_has_unmapped_is_not_undone():
    words = Words(((0x8FFC, b"old!old!", b"new!new!"), (0xA000, b"old!", b"new!")))
    left = Left.of([words, Traps("0", (0x9000, 0xB000)), Unmapped(((0x9000, 0xA000), (0xB000, 0xC000)))])
    assert list(left.words) == [0x8FFC, 0xA000]
    assert not left.traps


@pytest.mark.parametrize("text", ["no journal\n", "00000000 []\n", "\n"])
def test_another_file_is_left_alone(path: Path, text: str):
    path.parent.mkdir()
    path.write_text(text)
    message = f"{path} is damaged, or no journal of armprobe: line 1"
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        JournalFile.open(path, ADDRESS)
    assert path.read_text() == text


def test_a_journal_that_cannot_be_kept_is_told_before_anything_is_done(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    path = blocked / "journal"
    with pytest.raises(UsageError, match=f"^the journal {path} can't be kept: File exists$") as error:
        JournalFile.open(path, ADDRESS)
    assert error.value.hint.startswith("name another place with --journal PATH")


def test_a_second_holder_is_refused_and_told_the_first(path: Path):
    journal = written(path)
    message = f"another session of armprobe, process 42, works on {ADDRESS} ({path})"
    with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
        JournalFile.open(path, ADDRESS)
    journal.close()
    JournalFile.open(path, ADDRESS).close()


def test_all_names_of_a_target_have_one_journal(state_home: Path):
    expected = state_home / "armprobe/127.0.0.1_1234.journal"
    assert [default_path(name) for name in (":1234", "127.0.0.1:1234", "localhost:1234")] == [expected] * 3
    assert default_path("[::1]:1234") == state_home / "armprobe/__1_1234.journal"
    assert restore_command(":1234", expected) == "`armprobe restore --gdb :1234`"
    with pytest.raises(UsageError, match=r"^wanted HOST:PORT of a GDB stub, got 'here'$"):
        default_path("here")
