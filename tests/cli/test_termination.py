import signal

import pytest

from armprobe.cli.termination import ends_as_interrupt


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_process_interrupt_it(number):
    came = None

    def terminated() -> None:
        nonlocal came
        with ends_as_interrupt() as came:
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        terminated()
    assert came == [number]
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_the_process_ignores_stays_ignored():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ends_as_interrupt() as came:
            signal.raise_signal(signal.SIGHUP)
        assert came == []
    finally:
        signal.signal(signal.SIGHUP, previous)
