import re
from pathlib import Path

import pytest

from armprobe.errors import TargetError, TargetLost
from armprobe.targets.emulatorcopies import WORTH, EmulatorCopies

BASE = 0x1_4000_0000
MEMORY = bytes(range(256)) * (WORTH // 256) + b"end"


class Emulator:
    """Executes `pmemsave`, and reads what its stub would."""

    def __init__(self, *, written=lambda data: data):
        self.written = written
        self.commands = []

    def monitor(self, command):
        address, size, path = re.fullmatch(r'pmemsave 0x([0-9a-f]+) (\d+) "([^"]+)"', command).groups()
        self.commands.append(command)
        start = int(address, 16) - BASE
        Path(path).write_bytes(self.written(MEMORY[start : start + int(size)]))
        return ""

    def read(self, ranges):
        return [MEMORY[address - BASE : address - BASE + size] for address, size in ranges]


def test_copy_is_the_memory_and_its_file_does_not_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    emulator = Emulator()
    copies = EmulatorCopies(emulator.monitor, emulator.read)
    assert copies.read(BASE, len(MEMORY)) == MEMORY
    assert copies.read(BASE + 3, WORTH) == MEMORY[3:]
    assert len(emulator.commands) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "written",
    [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: data[:-1] + b"x", lambda _: b""],
    ids=["short", "another beginning", "another end", "nothing"],
)
def test_copy_of_something_else_is_not_believed_and_none_is_asked_for_again(written):
    emulator = Emulator(written=written)
    copies = EmulatorCopies(emulator.monitor, emulator.read)
    assert [copies.read(BASE, len(MEMORY)) for _ in range(2)] == [None, None]
    assert len(emulator.commands) == 1


def test_emulator_that_has_no_such_command_or_folder_makes_no_copies():
    def refuse(_command):
        raise TargetError("the stub takes no commands")

    assert EmulatorCopies(refuse, Emulator().read).read(BASE, len(MEMORY)) is None
    assert EmulatorCopies(lambda _: "Could not open", Emulator().read).read(BASE, len(MEMORY)) is None


def test_lost_target_is_told():
    def lose(_command):
        raise TargetLost("the stub is gone")

    with pytest.raises(TargetLost):
        EmulatorCopies(lose, Emulator().read).read(BASE, len(MEMORY))


def test_folder_whose_name_the_command_cannot_carry_gets_no_copies(tmp_path, monkeypatch):
    folder = tmp_path / 'with "quotes"'
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    emulator = Emulator()
    assert EmulatorCopies(emulator.monitor, emulator.read).read(BASE, len(MEMORY)) is None
    assert emulator.commands == []
