"""LLVM, as llvmlite brings it: IR text to an ARM object. Imported when the first handler is compiled.

No inline assembly, ever: LLVM as packaged has no ARM assembler and would abort the process.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from armprobe.errors import InternalError, MissingDependency

_TRIPLES = {4: "armv4t-none-eabi", 5: "armv5te-none-eabi", 6: "armv6-none-eabi"}
_TRIPLE = "armv7-none-eabi"
#: soft float, and nothing that would touch a vector register or access memory unaligned
_FEATURES = "+soft-float,-neon,-vfp2,+strict-align"


def compile_module(module: str, *, architecture: int) -> bytes:
    """Optimize the IR of a module and make a relocatable object for an architecture (4 to 8).

    Raises MissingDependency without llvmlite, InternalError with the IR as evidence when LLVM does not accept it.
    """
    triple = _TRIPLES.get(architecture, _TRIPLE)
    machine = _machine(triple)
    llvm = _llvm()
    try:
        parsed = llvm.parse_assembly(module)
        parsed.triple = triple
        parsed.data_layout = str(machine.target_data)
        parsed.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM does not accept a handler: {error}", evidence=module) from error
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    return bytes(machine.emit_object(parsed))


@cache
def _llvm() -> Any:
    try:
        from llvmlite import binding
    except ImportError as error:
        raise MissingDependency("compiled handlers need llvmlite", hint="pip install armprobe[compile]") from error
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding


@cache
def _machine(triple: str) -> Any:
    """LLVM's target machine for a triple."""
    target = _llvm().Target.from_triple(triple)
    return target.create_target_machine(features=_FEATURES, opt=2, reloc="static", codemodel="default")
