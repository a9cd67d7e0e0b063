"""What everybody asks of a kernel: the commands of docs/kernel.md are typed again, while a guest works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tests.integration.kernel_guest import BUSYBOX, KERNEL, need_guest

from armprobe import Session, Stop
from armprobe.cli.main import main
from armprobe.targets.linuxguest import LinuxGuest, start_guest

PAGE = Path(__file__).resolve().parents[2] / "docs/kernel.md"
#: what the guest does meanwhile: as the page says
WORK = re.search(r"^```sh\n((?:.*\n)+?)```$", PAGE.read_text(), re.MULTILINE)
QUESTIONS = re.findall(r"^```console\n\$ armprobe (.+)\n((?:.*\n)*?)```$", PAGE.read_text(), re.MULTILINE)
#: ended by Ctrl-C
INTERRUPTED = 130
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def guest():
    need_guest()
    with start_guest(KERNEL, BUSYBOX, processors=4) as running:
        running.execute("ifconfig lo up")
        yield running
        assert running.power_off() == 0


def ask(guest: LinuxGuest, command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command until the guest has done its work, which begins when all probes are planted."""
    assert WORK is not None
    work = "; ".join(WORK[1].splitlines())
    run = Session.run

    def run_while_it_works(session: Session, **options: object) -> Stop:
        guest.start(f"({work}) < /dev/null > /dev/null 2>&1 || true", when_ended=session.stop)
        return run(session, **options)

    monkeypatch.setattr(Session, "run", run_while_it_works)
    status = main([guest.address if word == ":1234" else word for word in shlex.split(command)])
    guest.finish()
    return status


def shape(line: str) -> str:
    """A line without what differs from run to run: times, numbers of tasks, how often, where, bars."""
    return re.sub(r"[\s#]+", " ", re.sub(r"0x[0-9a-f]+|\[[0-9a-f]{8}\]|[0-9][0-9,]*", "N", line)).strip()


@pytest.mark.parametrize(("command", "expected"), QUESTIONS, ids=[command[-40:] for command, _ in QUESTIONS])
def test_a_question_is_answered_as_the_page_says(guest, command, expected, monkeypatch, capsys):
    assert ask(guest, command, monkeypatch) == INTERRUPTED
    printed = {shape(line) for line in capsys.readouterr().out.splitlines()}
    missing = [line for line in expected.splitlines() if line != "..." and shape(line) not in printed]
    assert not missing, printed


def test_the_page_has_the_questions():
    assert len(QUESTIONS) >= 10
