"""One compiled function at every function of the sample firmware: counts as counters count, and changes nothing."""

from pathlib import Path

import pytest

from armprobe import Session, emulate

DEMO = Path(__file__).parents[2] / "src/armprobe/demo/demo.elf"


def run(prepare) -> tuple[dict[int, int], bytes, int | None]:
    """(hits by address, output, exit code) of the firmware with the probes that `prepare` makes."""
    printed = bytearray()
    with emulate(DEMO, output=printed.extend) as session:
        hits = prepare(session)
        session.optimize_now()
        stop = session.run()
        return hits(), bytes(printed), stop.exit_code


def functions(session: Session) -> list[int]:
    """The functions that can be probed."""
    return [place for place in session.places("*") if not session.explain(place).refused]


def by_counters(session: Session):
    probes = session.count_all(functions(session))
    return lambda: {probe.address: probe.hits for probe in probes if probe.hits}


def by_a_compiled_function(session: Session):
    table, depth = session.table("entries", 256), session.histogram("depth", buckets=32)

    def enter(pc, sp, lr):
        table[pc] += 1
        depth[log2(0x0200_0000 - sp)] += 1  # noqa: F821
        if lr & 3:
            emit(odd=lr)  # noqa: F821

    probes = [session.probe(place, enter, compiled=True) for place in functions(session)]

    def hits() -> dict[int, int]:
        assert {probe.state for probe in probes} == {"branch"}
        assert table.overflow == 0
        assert table.values() == {probe.address: probe.hits for probe in probes if probe.hits}
        assert depth.total + depth.overflow == table.total
        assert not list(session.events())
        return table.values()

    return hits


@pytest.mark.slow
def test_a_function_at_every_function_counts_what_counters_count():
    unprobed = run(lambda _: dict)
    counted = run(by_counters)
    assert counted[1:] == unprobed[1:]
    assert len(counted[0]) > 20
    assert run(by_a_compiled_function) == counted
