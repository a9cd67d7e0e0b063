"""The package as a whole: what an import costs, what is public, what is documented."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import armprobe
from armprobe import errors

ROOT = Path(__file__).parent.parent
#: each costs more than all of `armprobe --help`, or is optional
EXPENSIVE = {
    "capstone", "elftools", "llvmlite", "matplotlib", "numpy", "perfetto", "pyarrow", "pycxxfilt", "rich", "unicorn",
}  # fmt: skip


def imported_by(*statements: str) -> set[str]:
    """The modules loaded when `statements` have run in a new interpreter."""
    code = "\n".join(["import contextlib, io, json, sys", *statements, "print(json.dumps(list(sys.modules)))"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_of_armprobe_loads_nothing_expensive():
    loaded = imported_by("import armprobe")
    assert loaded & EXPENSIVE == set()
    assert {name for name in loaded if name.startswith("armprobe")} == {"armprobe"}


@pytest.mark.parametrize("option", ["--help", "--version", "no-such-command"])
def test_the_command_line_loads_no_library_but_click_before_it_knows_what_to_do(option):
    loaded = imported_by(
        "from armprobe.cli.main import main",
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):",
        f"    main([{option!r}])",
    )
    assert loaded & EXPENSIVE == set()
    assert {name for name in loaded if name.startswith("armprobe")} == {
        "armprobe",
        "armprobe.cli",
        "armprobe.cli.main",
        "armprobe.cli.termination",
        "armprobe.errors",
    }


def test_libraries_of_outputs_are_loaded_when_an_output_is_made():
    loaded = imported_by("import armprobe.session, armprobe.cli.record, armprobe.cli.report")
    assert loaded & {"matplotlib", "numpy", "perfetto", "pyarrow"} == set()


def test_public_names_are_sorted_and_found_where_they_are_said_to_be():
    assert armprobe.__all__ == sorted(armprobe.__all__)
    for name in armprobe.__all__:
        assert getattr(armprobe, name) is not None
        assert name in dir(armprobe)


def test_public_names_have_docstrings():
    undocumented = [name for name in armprobe.__all__ if name != "__version__" and not getattr(armprobe, name).__doc__]
    assert undocumented == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'armprobe' has no attribute 'emulator'$"):
        armprobe.emulator  # noqa: B018


def test_the_version_is_that_of_the_distribution():
    assert armprobe.__version__ == version("armprobe")


def test_every_error_is_in_the_page_about_errors_with_its_code():
    rows = re.findall(r"^\| (AP\d{3}) \| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    assert rows == sorted((value.code, value.__name__) for value in classes)


def test_every_code_in_the_source_is_in_the_page_about_errors():
    documented = set(re.findall(r"AP\d{3}", (ROOT / "docs/errors.md").read_text()))
    used = {
        (code, path.relative_to(ROOT).as_posix())
        for path in (ROOT / "src").rglob("*.py")
        for code in re.findall(r"\"(AP\d{3})\"", path.read_text())
    }
    assert {(code, path) for code, path in used if code not in documented} == set()


def test_no_two_errors_share_a_code():
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    assert len({value.code for value in classes}) == len(classes)
