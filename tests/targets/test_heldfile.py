"""A file that the process makes and the stub holds: when it is made, and when not for the process's own good."""

from __future__ import annotations

import pytest
from tests.targets.board_process import FILE, UNLIMITED, BoardProcess, status

from armprobe.errors import Refused
from armprobe.targets.heldfile import make_file
from armprobe.targets.linuxcalls import CLOSE, FTRUNCATE, MEMFD_CREATE

SIZE, NAME, NUMBER = 1 << 20, 0x5000, 7


def board(files: dict[str, str | None], *failing: int) -> BoardProcess:
    return BoardProcess(files, results={MEMFD_CREATE: NUMBER}, failing=failing)


def make(process: BoardProcess) -> tuple[int, int]:
    number, file = make_file(process, process, size=SIZE, name=NAME)  # type: ignore[arg-type]
    return number, file.number


def test_the_process_makes_a_file_and_the_stub_opens_it_which_is_noted():
    process = board({f"task/1/fd/{NUMBER}": ""})
    assert make(process) == (NUMBER, FILE)
    assert process.calls == [(MEMFD_CREATE, NAME, 1), (FTRUNCATE, NUMBER, SIZE)]
    assert process.left.file == FILE
    assert not process.left.unfinished


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"status": None}, "the stub does not read /proc"),
        ({"status": status(limited=2)}, "the process is allowed certain system calls only (seccomp)"),
        (
            {"limits": UNLIMITED.replace("unlimited ", "4096      ", 1)},
            "the process may write no file of 1,048,576 bytes (ulimit -f), and would get a signal",
        ),
    ],
)
def test_no_call_is_made_that_could_do_harm(files: dict[str, str | None], reason: str):
    process = board(files)
    with pytest.raises(Refused) as refused:
        make(process)
    assert refused.value.message == reason
    assert process.calls == []


def test_what_the_stub_may_not_open_the_process_closes_again():
    process = board({})
    with pytest.raises(Refused) as refused:
        make(process)
    assert refused.value.message == "the stub may not open a file that the process has opened"
    assert process.calls[-1] == (CLOSE, NUMBER)


@pytest.mark.parametrize(("failing", "last"), [(MEMFD_CREATE, MEMFD_CREATE), (FTRUNCATE, CLOSE)])
def test_the_reason_why_a_call_fails_is_told(failing: int, last: int):
    process = board({f"task/1/fd/{NUMBER}": ""}, failing)
    with pytest.raises(Refused, match=r"^the system call fails$"):
        make(process)
    assert process.calls[-1][0] == last
    assert process.left.file is None
