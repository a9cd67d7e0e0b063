import pytest

from armprobe.errors import MissingDependency, TargetLost
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.qemu import boot_linux, start_qemu

BOARD = ["-M", "virt", "-cpu", "cortex-a15", "-S"]


def test_stub_answers_at_once_and_the_emulator_ends_with_the_block():
    with start_qemu(BOARD) as qemu:
        target = GdbRemoteTarget.connect(qemu.address)
        assert target.read_registers().pc == 0
        target.detach()
    assert qemu.process.returncode is not None


def test_emulator_ends_also_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), start_qemu(BOARD) as qemu:
        raise ZeroDivisionError
    assert qemu.process.returncode is not None


def test_what_the_emulator_says_about_bad_options_is_shown():
    def connect_too_late():
        with start_qemu(["-M", "no-such-machine"]) as qemu:
            qemu.process.wait(30)
            GdbRemoteTarget.connect(qemu.address)

    with pytest.raises(TargetLost) as lost:
        connect_too_late()
    assert "unsupported machine type" in lost.value.evidence


def test_typing_after_the_end_is_an_error():
    with start_qemu(BOARD) as qemu:
        qemu.process.kill()
        qemu.process.wait()
        with pytest.raises(TargetLost, match=r"^qemu-system-arm has ended: Broken pipe$"):
            qemu.type("hello\n")


def test_missing_emulator_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with (
        pytest.raises(MissingDependency, match=r"^qemu-system-arm is not installed$") as missing,
        start_qemu(BOARD),
    ):
        pass
    assert missing.value.hint == "apt-get install qemu-system-arm"


def test_options_for_linux():
    assert boot_linux("vmlinuz", "ird", processors=2, memory=256, arguments="nosmp", options=["-s"]) == [
        "-M", "virt", "-cpu", "cortex-a15", "-smp", "2", "-m", "256", "-kernel", "vmlinuz", "-initrd", "ird",
        "-append", "console=ttyAMA0 quiet panic=-1 nosmp", "-s",
    ]  # fmt: skip
