"""The catalogue from the command line."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from types import SimpleNamespace

import pytest

from armprobe.errors import MissingDependency
from armprobe.verification.patchmodel import __main__ as module
from armprobe.verification.patchmodel.__main__ import main
from armprobe.verification.patchmodel.catalogue import CATALOGUE


def test_all_protocols_get_their_verdict(capsys):
    assert main(["--cores", "2", "--passes", "1", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"patch protocols with 2 cores and 1 passes: [\d,]+ states, 0 wrong\n", out)


@pytest.mark.slow
def test_several_processes_find_the_same(capsys):
    outputs = []
    for jobs in ("1", "2"):
        assert main(["--cores", "2", "--jobs", jobs]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_a_protocol_by_name_is_shown(capsys):
    assert main(["B6", "C6", "--cores", "1", "--passes", "1", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "I5: core 0 finds ea0003fe instead of a trap\n" in out
    assert re.search(r"^C6: \d+ states\nsafe$", out, re.MULTILINE)


def test_another_verdict_fails_and_is_shown(capsys, monkeypatch):
    wrong = replace(CATALOGUE["B1"], breaks="")
    monkeypatch.setattr(module, "CATALOGUE", {"B1": wrong})
    assert main(["--cores", "1", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("B1 (UDF to branch, live) got another verdict\n")
    assert out.endswith(" states, 1 wrong\n")


def test_a_name_that_is_not_there_is_an_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["Z9"])
    assert caught.value.code == 2
    assert "there is no protocol 'Z9'; there are A1, A2, A3" in capsys.readouterr().err


class Cluster(ThreadPoolExecutor):
    """As much of a Dask client as is used."""

    def __init__(self, address: str) -> None:
        assert address == "tcp://127.0.0.1:8786"
        super().__init__(2)


def test_a_cluster_finds_the_same(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=Cluster, as_completed=as_completed))
    outputs = []
    for where in (["--jobs", "1"], ["--scheduler", "tcp://127.0.0.1:8786"]):
        assert main(["--cores", "2", "--passes", "1", *where]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_a_cluster_needs_a_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependency, match=r"^a Dask cluster needs distributed$") as caught:
        main(["--scheduler", "tcp://127.0.0.1:8786"])
    assert caught.value.hint == "pip install 'armprobe[cluster]'"
