"""Every exception armprobe raises, named by whose fault it is.

A message says what was wanted, what came, and what to do; its facts are attributes as well, so that programs need not
parse text. `code` is stable (`AP` and three digits) and documented in docs/errors.md.
"""

from __future__ import annotations


class ArmprobeError(Exception):
    """Base of all errors of armprobe.

    `code` identifies the kind, `evidence` is what was seen (a listing line, a definition with a caret), `hint` is the
    next step. `str()` is the one-sentence message alone.
    """

    code = "AP000"

    def __init__(self, message: str, *, evidence: str = "", hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.evidence = evidence
        self.hint = hint
        if code is not None:
            self.code = code


class UsageError(ArmprobeError):
    """The caller asked for something that makes no sense: an unknown symbol, a malformed definition, a bad option."""

    code = "AP100"


class Refused(ArmprobeError):
    """armprobe will not do it, because it cannot prove that it is safe; the message is the reason."""

    code = "AP200"


class Undefined(Refused):
    """The word is no instruction: it matches no row, or its row calls it UNDEFINED."""

    code = "AP201"


class Unpredictable(Refused):
    """The word is an encoding the architecture calls UNPREDICTABLE."""

    code = "AP202"


class NoMemory(Refused):
    """The target has no memory for a slot where one is needed."""

    code = "AP203"


class TargetError(ArmprobeError):
    """The target could not do what was asked of it; the session goes on."""

    code = "AP300"


class TargetFault(TargetError):
    """Memory could not be read, written or executed at `address` (`size` bytes)."""

    code = "AP301"

    def __init__(self, message: str, *, address: int, size: int, evidence: str = "", hint: str = "") -> None:
        super().__init__(message, evidence=evidence, hint=hint)
        self.address = address
        self.size = size


class TargetLost(TargetError):
    """The target is gone: the session is over, and what could not be restored is listed in `evidence`."""

    code = "AP302"


class ProtocolError(TargetError):
    """A debug stub sent something that the GDB remote protocol does not know."""

    code = "AP303"


class HandlerError(ArmprobeError):
    """A user's handler raised; `__cause__` is the exception, `evidence` the user's own line."""

    code = "AP400"


class MissingDependency(ArmprobeError):
    """An optional library is not installed; `hint` is the command that installs it."""

    code = "AP500"


class InternalError(ArmprobeError):
    """A broken promise inside armprobe. Please report it with the message."""

    code = "AP900"


class TableError(InternalError):
    """An instruction table breaks the rules of its notation; raised when the table is built."""

    code = "AP901"
