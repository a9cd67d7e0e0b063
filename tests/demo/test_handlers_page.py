"""The example of docs/handlers.md runs on the sample firmware, and prints what the page says."""

import contextlib
import io
import linecache
import re
from pathlib import Path

from armprobe import emulate

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_page_prints_what_it_shows():
    page = (ROOT / "docs" / "handlers.md").read_text()
    source, expected = re.search(r"```python\n(.*?)```\n.*?```\n(.*?)```", page, re.DOTALL).groups()
    linecache.cache["<page>"] = (len(source), None, source.splitlines(keepends=True), "<page>")
    printed = io.StringIO()
    with emulate(ROOT / "src/armprobe/demo/demo.elf", output=lambda _: None) as session:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, "<page>", "exec", dont_inherit=True), {"session": session})  # noqa: S102
        assert printed.getvalue() == expected
        measure = session.probes[0]
        assert measure.state == "branch"
        assert measure.hits > 100
