"""Commands for the server behind a stub, which come before everything else."""

from __future__ import annotations

import pytest
from tests.probes.interrupted import BASE, SLOTS, WORDS
from tests.targets.stub import Stub, packet

import armprobe
from armprobe import Image
from armprobe.cli.main import main
from armprobe.errors import TargetError
from armprobe.session.journal import default_path
from armprobe.targets.fake import FakeTarget

IMAGE = Image.from_words(WORDS, base=BASE, name="loop.elf")


def stub_with(replies: dict[str, bytes]) -> Stub:
    """A stub that takes these commands."""
    fake = FakeTarget(WORDS, base=BASE)
    fake.map_memory(SLOTS)
    stub = Stub(fake, packet_size=0x1000)
    requests = {b"qRcmd," + command.encode().hex().encode(): reply for command, reply in replies.items()}

    def answer(request: bytes) -> bytes | None:
        return requests.get(request)

    stub.answer = answer
    return stub


def test_commands_are_executed_in_order_and_print_on_standard_error(capsys):
    first, second = (packet(b"O" + text.hex().encode()) + packet(b"OK") for text in (b"halted\n", b"4 KiB\n"))
    with stub_with({"reset halt": first, "flash banks": second}) as stub:
        armprobe.attach_gdb(stub.address, IMAGE, slots=[SLOTS], monitor=["reset halt", "flash banks"]).close()
    assert capsys.readouterr() == ("", "halted\n4 KiB\n")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (packet(b""), r"takes no commands, or not 'reset'$"),
        (packet(b"E01"), r"^the command 'reset' failed: the stub at \S+ answers E01$"),
    ],
)
def test_a_command_that_fails_ends_it_with_the_target_let_go(reply: bytes, message: str):
    with stub_with({"reset": reply}) as stub:
        with pytest.raises(TargetError, match=message):
            armprobe.attach_gdb(stub.address, IMAGE, slots=[SLOTS], monitor=["reset"])
        assert stub.requests[-1] == b"D"
        assert not default_path(stub.address).exists()


@pytest.mark.parametrize("options", [[], ["--kernel", "--gdb", ":1"]])
def test_commands_want_a_program_behind_a_stub(options: list[str], capsys):
    assert main(["stat", "firmware.elf", "-e", "main", "--monitor", "reset", *options]) == 2
    assert "--monitor is for the server behind a GDB stub" in capsys.readouterr().err
