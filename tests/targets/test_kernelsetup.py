from armprobe.targets.kernelsetup import kernel_image
from armprobe.targets.pagetables import Mapping


def test_kernels_own_code_is_not_taken_for_that_of_a_module():
    module = Mapping(0xBF000000, 0xBF001000, 0x45000000, writable=False, executable=True)
    its_constants = Mapping(0xBF001000, 0xBF002000, 0x46000000, writable=False, executable=False)
    code = Mapping(0xC0300000, 0xC0E00000, 0x40300000, writable=False, executable=True)
    constants = Mapping(0xC0E00000, 0xC1300000, 0x40E00000, writable=False, executable=False)
    assert kernel_image([module, its_constants, code, constants], "here") == (code, constants)
