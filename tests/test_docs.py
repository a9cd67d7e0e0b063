"""The documents say what is true: transcripts are typed again, tables are printed from the code."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from armprobe.probes.state import TRANSITIONS, SiteState

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TRANSCRIPTS = [
    pytest.param(page, command, expected, id=f"{page.name}: {command[:40]}")
    for page in PAGES
    for command, expected in re.findall(r"^```\n\$ armprobe (.+)\n((?:.*\n)*?)```$", page.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("page", "command", "expected"), TRANSCRIPTS)
def test_a_transcript_shows_what_is_printed(page: Path, command: str, expected: str):
    del page
    words = [word for word in shlex.split(command) if word != "2>/dev/null"]
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from armprobe.cli.main import main; sys.exit(main())", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected


def test_there_are_transcripts():
    assert len(TRANSCRIPTS) >= 5


def test_the_states_are_those_of_the_code():
    states = "\n".join(f"| {state.name} | {state.value} |" for state in SiteState)
    moves = "\n".join(f"| {before.name} | {verb} | {after.name} |" for (before, verb), after in TRANSITIONS.items())
    page = (ROOT / "docs" / "how-a-probe-works.md").read_text()
    assert states in page
    assert moves in page


def test_links_between_pages_lead_somewhere():
    pages = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
