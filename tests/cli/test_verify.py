import pytest

from armprobe.cli.main import main


@pytest.mark.slow
def test_verify_fails_and_says_what_was_left_out_when_it_runs_too_few_cases(capsys):
    assert main(["verify", "--rounds", "0", "--cases", "100", "--t32-cases", "100", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "usage of registers, flags and memory against execution" in printed
    assert "0 findings" in printed
    for isa, row in (("A32", "AND_register_A1"), ("T32", "AND_register_T1")):
        _, found, after = printed.partition(f"relocation of {isa}, unprobed against probed\n")
        assert found
        assert f"{row}: conditions never exercised" in after
