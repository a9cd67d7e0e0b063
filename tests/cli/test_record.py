"""`armprobe record` and `armprobe report`, on the sample firmware, which prints its own counts."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pytest
from matplotlib.image import imread
from pyarrow import csv, parquet
from tests.missing import hide

PACKET = "p:net/packet parse_packet buffer=%r0 length=%r1:u32"


def printed(text: str, what: str) -> int:
    """A number that the firmware prints."""
    found = re.search(rf"^{what} (\d+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


@pytest.fixture
def recorded(run, demo, tmp_path):
    """Records 300 packets to a file with the ending given."""

    def record(suffix: str):
        outcome = run("record", demo, "-e", PACKET, "-e", "malloc", "-o", tmp_path / f"run{suffix}", "--", 300)
        assert outcome.status == 0, outcome.err
        return tmp_path / f"run{suffix}", outcome

    return record


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".ndjson"])
def test_a_file_holds_as_many_events_as_the_program_counts(recorded, suffix):
    path, outcome = recorded(suffix)
    match suffix:
        case ".parquet":
            events = parquet.read_table(path)["event"].to_pylist()
        case ".arrow":
            events = pa.ipc.open_file(path).read_all()["event"].to_pylist()
        case ".csv":
            events = csv.read_csv(path)["event"].to_pylist()
        case _:
            events = [json.loads(line).get("event") for line in path.read_text().splitlines()]
    assert events.count("packet") == printed(outcome.out, "parse_packet")
    assert events.count("malloc") == printed(outcome.out, "allocations")
    assert outcome.err == (
        "hits  recorded  lost  missed  kind    event   location\n"
        " 344       344     0       0  branch  packet  parse_packet\n"
        "  82        82     0       0  branch  malloc  malloc\n"
        "426 events of 2 probes; the program ended with exit code 0\n"
    )


def test_the_summary_is_in_the_file(recorded):
    path, _ = recorded(".parquet")
    summary = json.loads(parquet.read_metadata(path).metadata[b"armprobe"])
    assert [(probe["event"], probe["recorded"], probe["lost"]) for probe in summary["probes"]] == [
        ("packet", 344, 0),
        ("malloc", 82, 0),
    ]
    assert summary["stop"]["message"] == "the program ended with exit code 0"


def test_a_run_that_ends_in_a_fault_leaves_a_whole_file(run, binary, tmp_path):
    program = binary(0xE3A00007, 0xE3A01000, 0xE5911000)  # mov r0, #7; mov r1, #0; ldr r1, [r1]
    path = tmp_path / "run.parquet"
    outcome = run("record", program, "--base", "0x8000", "-e", "p:seen 0x8004 value=%r0", "-o", path)
    assert outcome.status == 1
    assert "the program faulted at" in outcome.err
    assert parquet.read_table(path)["seen"].to_pylist() == [{"value": 7}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "run.parquet"], "there is nothing to record\nhelp: say what with -e DEFINITION or -f FILE"),
        (
            ["-e", "malloc", "-o", "run.txt"],
            (
                "wanted a file name that ends in .parquet, .arrow, .csv, .ndjson, .pftrace, got 'run.txt'\n"
                "help: the ending says the format: Parquet for pandas, Polars and DuckDB, pftrace for ui.perfetto.dev"
            ),
        ),
        (["-e", "malloc", "-o", "no/run.csv"], "no/run.csv: No such file or directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded_is_said(run, demo, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = run("record", demo, *arguments)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"error[AP100]: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_report_shows_counts_quantiles_and_a_histogram(run, recorded):
    path, _ = recorded(".parquet")
    outcome = run("report", path)
    assert outcome.status == 0
    assert outcome.out == (
        f"{path}: 426 events of 2 names, 0 lost, the program ended with exit code 0\n"
        "\n"
        "events  share  event   symbol\n"
        "   344  80.8%  packet  parse_packet+0x0/0x184\n"
        "    82  19.2%  malloc  malloc+0x0/0xd0\n"
        "\n"
        "argument       type  values   least    50 %    90 %    99 %  greatest  mean\n"
        "packet.buffer  x32      344  0x9040  0x9040  0x9044  0x9069    0x906b\n"
        "packet.length  u32      344       8      26      39      70        78  26.9\n"
        "\n"
        "packet.length\n"
        "  8 .. 15   79  #####################\n"
        " 16 .. 31  152  ########################################\n"
        " 32 .. 63  104  ############################\n"
        "64 .. 127    9  ###\n"
    )


@pytest.mark.parametrize("suffix", [".arrow", ".csv", ".ndjson"])
def test_a_report_is_the_same_for_every_format_but_for_what_the_format_does_not_hold(run, recorded, suffix):
    facts = []
    for ending in (".parquet", suffix):
        outcome = run("report", recorded(ending)[0], "--json")
        facts.append(json.loads(outcome.out))
    assert facts[0]["arguments"][1]["quantiles"] == [26, 39, 70]
    for one in facts:
        if suffix != ".arrow":
            for argument in one["arguments"]:
                del argument["type"]
        if suffix == ".csv":
            del one["summary"]
    assert facts[0] == facts[1]


def test_strings_are_reported_by_how_often_they_came(run, tmp_path):
    values = ["/etc/passwd"] * 3 + ["/etc/motd\n"] + [None]
    lines = [json.dumps({"event": "open", "symbol": "open", "values": {"path": value}}) for value in values]
    (tmp_path / "run.ndjson").write_text("\n".join(lines) + "\n")
    assert run("report", tmp_path / "run.ndjson").out.endswith(
        "\nopen.path: the most frequent of 4 values\n3  '/etc/passwd'\n1  '/etc/motd\\n'\n"
    )
    facts = json.loads(run("report", tmp_path / "run.ndjson", "--json").out)["arguments"]
    assert facts == [
        {"event": "open", "name": "path", "type": "", "values": 4, "unreadable": 1,
         "most_common": [["/etc/passwd", 3], ["/etc/motd\n", 1]]},
    ]  # fmt: skip


def test_unreadable_values_and_more_places_than_fit_are_counted(run, tmp_path):
    lines = [
        json.dumps({"event": f"e{number}", "symbol": "f", "values": {"a": number if number != 3 else None}})
        for number in range(22)
    ]
    (tmp_path / "run.ndjson").write_text("\n".join(lines) + "\n")
    out = run("report", tmp_path / "run.ndjson").out
    assert "\nand 2 places more\n" in out
    assert re.search(r"^argument +type +values +least", out, re.MULTILINE)
    (tmp_path / "run.ndjson").write_text("\n".join([*lines, lines[3].replace("null", "7")]) + "\n")
    assert re.search(r"^e3\.a +1 +1 +7 +7", run("report", tmp_path / "run.ndjson").out, re.MULTILINE)


def test_a_report_of_no_events_says_so(run, tmp_path):
    (tmp_path / "run.ndjson").write_text('{"summary": {}}\n')
    assert run("report", tmp_path / "run.ndjson").out == f"{tmp_path / 'run.ndjson'}: 0 events of 0 names\n"


def test_a_plot_has_bars_and_is_the_same_for_the_same_events(run, recorded, tmp_path):
    path, _ = recorded(".parquet")
    for name in ("a.png", "b.png", "a.svg", "b.svg"):
        outcome = run("report", path, "--plot", tmp_path / name)
        assert outcome.err == f"wrote {tmp_path / name}\n"
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    height, width, _ = imread(tmp_path / "a.png").shape
    assert width == 1200
    assert height > 400
    svg = (tmp_path / "a.svg").read_text()
    # Text is drawn as shapes, with the text itself as a comment.
    for text in ("packet", "malloc", "426 events", "packet.length", "16 to 31"):
        assert f"<!-- {text} -->" in svg


@pytest.mark.parametrize(
    ("content", "picture", "message"),
    [
        (
            '{"event": "e", "symbol": "f", "values": {}}\n', "a.pdf",
            "wanted a picture that ends in .png or .svg, got 'a.pdf'",
        ),
        ('{"summary": {}}\n', "a.png", "there are no events to plot"),
    ],
)  # fmt: skip
def test_a_plot_that_cannot_be_is_refused(run, tmp_path, content, picture, message):
    (tmp_path / "run.ndjson").write_text(content)
    outcome = run("report", tmp_path / "run.ndjson", "--plot", tmp_path / picture)
    assert (outcome.status, outcome.err) == (2, f"error[AP100]: {message}\n")
    assert not (tmp_path / picture).exists()


@pytest.mark.parametrize(
    ("library", "options", "message"),
    [
        ("numpy", [], "armprobe report needs numpy\nhelp: pip install 'armprobe[events]'\n"),
        ("matplotlib", ["--plot", "a.png"], "--plot needs matplotlib\nhelp: pip install 'armprobe[plot]'\n"),
    ],
)  # fmt: skip
def test_a_library_that_a_report_lacks_is_named(run, tmp_path, monkeypatch, library, options, message):
    (tmp_path / "run.ndjson").write_text('{"event": "e", "symbol": "f", "values": {}}\n')
    hide(monkeypatch, library)
    outcome = run("report", tmp_path / "run.ndjson", *options)
    assert (outcome.status, outcome.err) == (1, f"error[AP500]: {message}")
