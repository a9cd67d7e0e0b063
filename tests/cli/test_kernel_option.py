import socket

import pytest

HINT = "help: for example --kernel --gdb :1234\n"
MESSAGE = "error[AP100]: --kernel wants --gdb HOST:PORT, and none of --machine, --cpu, --base, --slots and --after\n"


@pytest.mark.parametrize(
    "options", [[], ["--gdb", ":1", "--cpu", "cortex-a15"], ["--gdb", ":1", "--slots", "0x1000:0x2000"]]
)
def test_options_that_make_no_sense_with_a_kernel(run, options):
    outcome = run("stat", "--kernel", *options, "-e", "sys_getppid")
    assert (outcome.status, outcome.out, outcome.err) == (2, "", MESSAGE + HINT)


def test_without_a_kernel_an_image_is_wanted(run):
    outcome = run("stat", "-e", "main")
    message = "error[AP100]: Missing argument 'IMAGE'\nhelp: `armprobe stat --help` shows what it takes\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message)


@pytest.mark.parametrize("command", [["list"], ["explain"]])
def test_a_kernel_needs_no_file_before_the_places(run, command):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    outcome = run(*command, "--kernel", "--gdb", f"127.0.0.1:{closed}", "virtio_net:start_xmit")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(f"error[AP302]: no GDB stub answers at 127.0.0.1:{closed}"), outcome.err


def test_explain_wants_a_place_in_a_kernel_as_well(run):
    outcome = run("explain", "--kernel", "--gdb", ":1")
    message = "error[AP100]: Missing argument 'LOCATION...'\nhelp: `armprobe explain --help` shows what it takes\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", message)
