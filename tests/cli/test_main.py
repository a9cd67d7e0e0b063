"""How the command ends: its exit status, and its errors as text and as JSON."""

from __future__ import annotations

import json

import click
import pytest

from armprobe.cli import main as module
from armprobe.cli.main import COMMANDS, armprobe_command, main
from armprobe.errors import ArmprobeError, Refused, TargetFault, UsageError


@pytest.fixture
def raising(monkeypatch):
    """Makes `armprobe insn` raise what it is given."""

    def install(error: BaseException) -> None:
        @click.command(context_settings={"ignore_unknown_options": True})
        @click.argument("rest", nargs=-1)
        def insn(rest):
            raise error

        monkeypatch.setattr("armprobe.cli.insn.insn", insn)

    return install


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_help_of_a_command_begins_with_its_line_in_the_overview(name):
    command = armprobe_command.get_command(click.Context(armprobe_command), name)
    assert command is not None
    assert (command.help or "").startswith(COMMANDS[name][1])


def test_without_arguments_it_shows_the_help(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: armprobe [OPTIONS] COMMAND [ARGS]...\n")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"armprobe {module.armprobe.__version__}\n"


def test_an_error_shows_code_message_evidence_and_hint(raising, capsys):
    raising(Refused("no", evidence="8000: ldrex r0, [r1]\n8004: here", hint="go elsewhere"))
    assert main(["insn"]) == 1
    assert capsys.readouterr().err == (
        "error[AP200]: no\n"
        "  8000: ldrex r0, [r1]\n"
        "  8004: here\n"
        "help: go elsewhere\n"
    )  # fmt: skip


def test_an_error_without_evidence_and_hint_is_one_line(raising, capsys):
    raising(TargetFault("no memory at 0x00000004", address=4, size=4))
    assert main(["insn"]) == 1
    assert capsys.readouterr().err == "error[AP301]: no memory at 0x00000004\n"


def test_with_json_an_error_is_an_object_on_stderr(raising, capsys):
    raising(Refused("no", hint="go elsewhere"))
    assert main(["insn", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err) == {
        "error": {"code": "AP200", "message": "no", "evidence": "", "hint": "go elsewhere"}
    }


def test_json_behind_a_double_dash_is_no_option(raising, capsys):
    raising(Refused("no"))
    assert main(["insn", "--", "--json"]) == 1
    assert capsys.readouterr().err == "error[AP200]: no\n"


@pytest.mark.parametrize(("error", "status"), [(UsageError("what?"), 2), (ArmprobeError("no"), 1), (OSError("no"), 1)])
def test_exit_status(raising, error, status):
    raising(error)
    assert main(["insn"]) == status


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_ends_it_with_130_and_without_an_error(raising, capsys, interrupt):
    raising(interrupt)
    assert main(["insn"]) == 130
    assert "error" not in capsys.readouterr().err


def test_an_unexpected_exception_is_ours_to_answer_for(raising, capsys):
    raising(ZeroDivisionError("division by zero"))
    assert main(["insn"]) == 1
    assert capsys.readouterr().err == (
        "error[AP900]: unexpected ZeroDivisionError: division by zero\n"
        "help: this is a bug in armprobe; please report it with what ARMPROBE_DEBUG=1 shows\n"
    )


def test_debugging_shows_the_traceback(raising, monkeypatch):
    monkeypatch.setenv("ARMPROBE_DEBUG", "1")
    raising(Refused("no"))
    with pytest.raises(Refused, match=r"^no$"):
        main(["insn"])


def test_an_unknown_command_is_a_usage_error(capsys):
    assert main(["frobnicate"]) == 2
    assert capsys.readouterr().err == (
        "error[AP100]: No such command 'frobnicate'\nhelp: `armprobe --help` shows what it takes\n"
    )


def test_an_unknown_option_names_the_help_of_its_command(capsys):
    assert main(["insn", "--frob", "0"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error[AP100]: No such option")  # the rest is click's, and differs between its versions
    assert second == "help: `armprobe insn --help` shows what it takes"
