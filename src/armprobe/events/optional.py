"""Libraries that only some outputs need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from armprobe.errors import MissingDependency


@contextmanager
def needed_for(what: str, *, extra: str) -> Iterator[None]:
    """Import optional libraries in this block: where one is missing, MissingDependency names the extra that has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise MissingDependency(f"{what} needs {library}", hint=f"pip install 'armprobe[{extra}]'") from error
