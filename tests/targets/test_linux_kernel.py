import re

import pytest

from armprobe.errors import Refused, UsageError
from armprobe.targets.gdbremote import GdbRemoteTarget
from armprobe.targets.kernelcalls import KernelFunctions
from armprobe.targets.linux_kernel import KernelTarget
from armprobe.targets.qemu import start_qemu


def test_board_on_which_no_kernel_runs_is_refused_and_runs_on(monkeypatch):
    let_go, detach = [], GdbRemoteTarget.detach
    monkeypatch.setattr(GdbRemoteTarget, "detach", lambda self: let_go.append(detach(self)))
    with start_qemu(["-M", "virt", "-cpu", "cortex-a15", "-S"]) as qemu:
        message = f"no Linux kernel runs at {qemu.address}, or not yet: TTBR1 is 0"
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$") as error:
            KernelTarget.connect(qemu.address)
    assert error.value.hint == "let it boot first"
    assert len(let_go) == 1


def test_function_that_the_kernel_has_not_is_refused():
    with start_qemu(["-M", "virt", "-cpu", "cortex-a15", "-S"]) as qemu:
        stub = GdbRemoteTarget.connect(qemu.address)
        message = f"the target at {qemu.address} has no kernel function module_alloc"
        with pytest.raises(Refused, match=f"^{re.escape(message)}$"):
            KernelFunctions(stub, {"panic": 0x1000}).call("module_alloc", [4096])
        stub.detach()
