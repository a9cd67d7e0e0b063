"""A file that the process makes and the stub holds: when it is made, and when not for the process's own good."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from armprobe.errors import Refused, TargetError
from armprobe.targets.heldfile import make_file
from armprobe.targets.journal import HeldFile, Left
from armprobe.targets.linuxcalls import CLOSE, FTRUNCATE, MEMFD_CREATE

SIZE, NAME, NUMBER, HELD = 1 << 20, 0x5000, 7, 4
STATUS = b"Name:\tprogram\nSeccomp:\t0\nSeccomp_filters:\t0\n"
LIMITS = b"Limit                     Soft Limit           Hard Limit           Units     \n"
UNLIMITED = LIMITS + b"Max file size             unlimited            unlimited            bytes     \n"


class Board:
    """A process of number 1, its stub, and its system calls, in one."""

    process = 1

    def __init__(self, status: bytes | None = STATUS, limits: bytes = UNLIMITED, *, failing: int = 0) -> None:
        self.files = {"/proc/1/status": status, "/proc/1/limits": limits, f"/proc/1/fd/{NUMBER}": b""}
        self.events = self.journal = self
        self.made: list[tuple[int, ...]] = []
        self.left = Left()
        self._failing = failing
        self._opened = b""

    def note(self, change: HeldFile) -> None:
        self.left.add(change)

    def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        return [self._answer(*request.split(b":", 2)[1:]) for request in requests]

    def call(self, number: int, *arguments: int) -> int:
        self.made.append((number, *arguments))
        if number == self._failing:
            raise TargetError("the system call fails")
        return NUMBER if number == MEMFD_CREATE else 0

    def _answer(self, operation: bytes, text: bytes) -> bytes:
        if operation == b"open":
            name, _, _ = text.split(b",")
            content = self.files.get(bytes.fromhex(name.decode()).decode())
            if content is None:
                return b"F-1,2"
            self._opened = content
            return b"F%x" % HELD
        if operation == b"pread":
            _, size, offset = (int(part, 16) for part in text.split(b","))
            part = self._opened[offset : offset + size]
            return b"F%x;%b" % (len(part), part)
        return b"F0"


def make(board: Board) -> tuple[int, int]:
    number, file = make_file(board, board, size=SIZE, name=NAME)  # type: ignore[arg-type]
    return number, file.number


def test_the_process_makes_a_file_and_the_stub_opens_it_which_is_noted():
    board = Board()
    assert make(board) == (NUMBER, HELD)
    assert board.made == [(MEMFD_CREATE, NAME, 1), (FTRUNCATE, NUMBER, SIZE)]
    assert board.left.file == HELD
    assert not board.left.unfinished


@pytest.mark.parametrize(
    ("board", "reason"),
    [
        (Board(status=None), "the stub does not read /proc"),
        (
            Board(status=STATUS.replace(b"Seccomp:\t0", b"Seccomp:\t2")),
            "the process is allowed certain system calls only (seccomp)",
        ),
        (
            Board(limits=UNLIMITED.replace(b"unlimited ", b"4096      ", 1)),
            "the process may write no file of 1,048,576 bytes (ulimit -f), and would get a signal",
        ),
    ],
)
def test_no_call_is_made_that_could_do_harm(board: Board, reason: str):
    with pytest.raises(Refused) as refused:
        make(board)
    assert refused.value.message == reason
    assert board.made == []


def test_what_the_stub_may_not_open_the_process_closes_again():
    board = Board()
    del board.files[f"/proc/1/fd/{NUMBER}"]
    with pytest.raises(Refused) as refused:
        make(board)
    assert refused.value.message == "the stub may not open a file that the process has opened"
    assert board.made[-1] == (CLOSE, NUMBER)


@pytest.mark.parametrize(("failing", "last"), [(MEMFD_CREATE, MEMFD_CREATE), (FTRUNCATE, CLOSE)])
def test_the_reason_why_a_call_fails_is_told(failing: int, last: int):
    board = Board(failing=failing)
    with pytest.raises(Refused, match=r"^the system call fails$"):
        make(board)
    assert board.made[-1][0] == last
    assert board.left.file is None
