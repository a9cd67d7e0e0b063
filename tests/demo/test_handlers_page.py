"""The examples of docs/handlers.md run on the sample firmware, and print what the page says."""

import contextlib
import io
import linecache
import re
from collections.abc import Iterator
from pathlib import Path

from armprobe import Session, emulate

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_page_prints_what_it_shows():
    with _types("sizes = ") as session:
        measure = session.probes[0]
        assert measure.state == "branch"
        assert measure.hits > 100


def test_memory_that_is_never_freed_is_found_as_the_page_shows():
    with _types("born, caller = ") as session:
        calls, frees = (probe.hits for probe in session.probes)
        assert (calls, frees) == (245, 237)


@contextlib.contextmanager
def _types(beginning: str) -> Iterator[Session]:
    """Run the example that begins so, and compare what it prints; then hand over the session."""
    page = (ROOT / "docs" / "handlers.md").read_text()
    source, expected = re.search(rf"```python\n({beginning}.*?)```\n.*?```\n(.*?)```", page, re.DOTALL).groups()
    linecache.cache["<page>"] = (len(source), None, source.splitlines(keepends=True), "<page>")
    printed = io.StringIO()
    with emulate(ROOT / "src/armprobe/demo/demo.elf", output=lambda _: None) as session:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "<page>", "exec", dont_inherit=True), {"session": session})  # noqa: S102
        assert printed.getvalue() == expected
        yield session
