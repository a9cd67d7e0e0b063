"""The one list of disagreements between the tables and other decoders that are explained, with who is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import CodeType


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Some words about which a decoder and the tables differ.

    decoder   "objdump", "llvm", "capstone" (several: separated by spaces), or "all" for words that only the tables call
              unpredictable
    ours      "valid", "undefined" or "unpredictable"
    theirs    what the decoder says; several: separated by `|`
    rows      regular expression of row names, `-` for no row
    right     who is right by the manual: "tables", "decoder", or "both" where the manual leaves it open
    why       regular expression of the reason the row gives
    when      expression over the fields of the row, `word`, and `registers`, the mask of the registers that differ
    """

    name: str
    decoder: str
    ours: str
    theirs: str
    rows: str
    right: str
    reason: str
    why: str = ".*"
    when: str = ""
    condition: CodeType = field(init=False, repr=False, compare=False)
    cases: frozenset[tuple[str, str, str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", compile(self.when or "True", f"<{self.name}>", "eval"))
        cases = {(one, theirs, self.ours) for one in self.decoder.split() for theirs in self.theirs.split("|")}
        object.__setattr__(self, "cases", frozenset(cases))


_BANKED = "registers & 0x80ff == 0"  # r8 to r12, sp, lr

# fmt: off
EXPLAINED: tuple[Disagreement, ...] = (
    # Words only a decoder calls unpredictable or undefined

    Disagreement("PC as the second operand", "llvm", "valid", "unpredictable",
        "(AND|EOR|SUB|RSB|ADD|ADC|SBC|RSC|TST|TEQ|CMP|CMN|ORR|MOV|BIC|MVN)(S_PC_register_A2|_register_A1)", "tables",
        "LLVM lets no shifted operand be PC; the manual forbids it where the shift amount is in a register only "
        "(DDI 0406C A8.8.7 and others)", when="Rm == 15"),
    Disagreement("shift with PC as destination", "objdump", "valid", "unpredictable",
        "MOV_register_A1|MOVS_PC_register_A2", "tables",
        "LSL, LSR, ASR, ROR by a constant may write PC, and with S are exception returns (DDI 0406C A8.8.94, B9.3.20)",
        when="Rd == 15 and type + imm5 > 0"),
    Disagreement("offset register is the register transferred", "objdump", "valid", "unpredictable",
        "(LDRH|LDRSB|LDRSH|STRH|STRD)_register_A1", "tables",
        "only LDRD forbids it (DDI 0406C A8.8.74); the base with write-back is another matter", when="Rm == Rt"),
    Disagreement("low bits of an immediate taken for PC", "llvm", "valid", "unpredictable", "STRD_immediate_A1",
        "tables", "LLVM takes imm4L = 15 for Rm = PC", when="imm4L == 15"),
    Disagreement("MCRR2 from one register twice", "llvm", "valid", "unpredictable", "MCRR2_(low|high)_A2", "tables",
        "only MRRC2, which writes both, forbids it (DDI 0406C A8.8.99)", when="Rt == Rt2"),
    Disagreement("unallocated memory hints", "objdump llvm capstone", "valid", "undefined",
        "unallocated_hint_(immediate|register)_A1", "tables",
        "the manual allocates them as no-operations (DDI 0406C A5.7.1, DDI 0487 F4.1)"),
    Disagreement("speculation barrier", "capstone", "valid", "undefined", "SB_A1", "tables",
        "Capstone 5 is older than ARMv8.5's SB"),
    Disagreement("BFloat16", "capstone", "valid", "undefined", "V(CVT_single_to|DOT|MMLA)_BFloat16_A1", "tables",
        "Capstone 5 is older than ARMv8.6"),
    Disagreement("coprocessors of old", "objdump", "valid", "undefined|prints a register that is not used",
        "(CDP|MCR)_low_A1", "both",
        "objdump takes coprocessors 0 and 1 for the FPA, XScale's and iwMMXt's, which leave words undefined or have "
        "more operands; ARMv7 has none of them", when="coproc < 2"),
    Disagreement("fixed point and half precision", "objdump", "valid", "undefined", "VCVT_fixed_floating_A1", "tables",
        "objdump does not know the half-precision form of ARMv8.2 (DDI 0487 F6.1)", when="size == 1"),

    # Words undefined by the tables that a decoder takes for an instruction

    Disagreement("coprocessors reserved for Arm", "objdump llvm capstone", "undefined", "valid|unpredictable", "-|V.*",
        "tables", "coprocessors 8, 9, 12 and 13 are VFP's and Advanced SIMD's newer encodings, or undefined "
        "(DDI 0406C A5.6, DDI 0487 F4.1), and so is the unconditional space of 10 and 11: decoders take what is left "
        "for CDP, LDC, MCR of any coprocessor",
        when="word >> 25 & 7 in (6, 7) and word >> 24 & 15 != 15 and "
        "(word >> 8 & 15 in (8, 9, 12, 13) or word >> 28 == 15 and word >> 8 & 15 in (10, 11))"),
    Disagreement("undefined vector words", "objdump", "undefined", "valid|unpredictable", "V.*", "tables",
        "objdump does not check sizes, alignments and pairs of registers; LLVM and Capstone agree with the tables"),
    Disagreement("fixed point with too many fraction bits", "llvm capstone", "undefined", "valid", "VCVT_fixed_half_A1",
        "tables", "half precision has 16 fraction bits at most: imm6 = 10xxxx is UNDEFINED (DDI 0487 F6.1)",
        why="imm6 < 48"),
    Disagreement("LDC and STC without offset, up and write-back", "objdump", "undefined", "valid",
        "(LDC|STC)2?_(low|high)_A[12]", "tables", "P = U = W = 0 is MCRR and MRRC, or UNDEFINED (DDI 0406C A8.8.55)"),
    Disagreement("words near an instruction", "objdump", "undefined", "valid|unpredictable", "-", "tables",
        "objdump's patterns leave bits out that the manual fixes (TST, TEQ, CMP, CMN without S, MSR of banked "
        "registers, preloads by register, vectors); LLVM and Capstone agree with the tables"),

    # Words that only the tables call unpredictable: each decoder leaves some checks out

    Disagreement("PC as an operand", "all", "unpredictable", "valid",
        "[SU]DIV_A1|(STR|STRB|LDR|LDRB|STRD|PLD|PLDW|PLI)_register_A1|STRHT_A[12]|RFE_A1|MSR_register.*|MCR_low_A1|"
        "(LDREX|STL|STLB|STLH|LDA|LDAB|LDAH|LDAEX|LDAEXB|LDAEXH|STLEX|STLEXB|STLEXH)_A1|VMOV_.*core.*|VDUP_core_A1|"
        "V(LD|ST)[1-4]_.*|V(LD|ST)M(IA|DB)_A[12]|F(LD|ST)M(IA|DB)X_A1|(LDC|STC)2?_(low|high)_A[12]", "tables",
        "the pseudocode of the instructions excludes it", why=".*\\b(Rd|Rn|Rm|Rt|Rt2) == 15.*"),
    Disagreement("SP as the second register of a pair", "all", "unpredictable", "valid", "LDRD_immediate_A1", "tables",
        "Rt = LR makes Rt2 = PC (DDI 0406C A8.8.72)", why="Rt == 14"),
    Disagreement("registers that must differ", "all", "unpredictable", "valid",
        "(STREX|STREXB|STREXH|STLEX|STLEXB|STLEXH)_A1|(STRHT|LDRHT|LDRSBT|LDRSHT)_A[12]|LDRH_immediate_A1|UMAAL_A1|"
        "LDM_exception_return_A1|MRRC_low_A1|VMOV_(two_single|double)_to_two_core_A1", "tables",
        "two results in one register, or the base or status register among the data (DDI 0406C A8.8.212 and others)",
        why="Rd == Rn|Rd == Rt|(wback and )?Rn == Rt|RdHi == RdLo|Rt == Rt2|W == 1 and registers >> Rn & 1"),
    Disagreement("vector lists beyond the last register", "all", "unpredictable", "valid",
        "V(LD|ST)[1-4]_.*|VTB[LX]_A1|F(LD|ST)M(IA|DB)X_A1", "tables",
        "the pseudocode of the instructions excludes it", why="D[dn] \\+ .* > \\d+"),
    Disagreement("vector immediates of zero", "all", "unpredictable", "valid", "V(MVN|MOV|ORR|BIC)_immediate_A1.*",
        "tables", "AdvSIMDExpandImm excludes a shifted zero (DDI 0406C A7.4.6)", why=".*imm8 == 0.*"),
    Disagreement("fraction bits below zero", "all", "unpredictable", "valid", "VCVT_fixed_floating_A1", "tables",
        "the size less imm4:i must not be negative (DDI 0406C A8.8.308)", why="sx == 0 .*"),
    Disagreement("bit fields beyond bit 31", "all", "unpredictable", "valid", "[SU]BFX_A1", "tables",
        "the pseudocode excludes it (DDI 0406C A8.8.164)", why="lsb \\+ widthm1 > 31"),
    Disagreement("modes and masks", "all", "unpredictable", "valid",
        "CPS_A1|SRS_A1|MSR_(immediate|register)_SPSR_A1", "tables",
        "reserved modes, and masks of nothing (DDI 0406C B9.3.2, B9.3.12, B9.3.16)",
        why=".*mode .*|imod >= 2 and A \\+ I \\+ F == 0|mask == 0"),
    Disagreement("hints that must be AL", "all", "unpredictable", "valid", "(ESB|CSDB|TSB)_A1", "tables",
        "DDI 0487 F5.1 excludes a condition; decoders take any", why="cond != 14"),
    Disagreement("should-be bits", "all", "unpredictable", "valid", ".*", "tables",
        "each decoder ignores some of the bits in parentheses (DDI 0406C A5.1.2)", why="should-be bits .*"),

    # Core registers that Capstone leaves out of its lists, or adds to them

    Disagreement("banked registers", "capstone", "valid", "misses a read|misses a write",
        "[A-Z]+S_PC_(register_A2|immediate_A1)|(ERET|RFE|CPS)_A1|LDM_exception_return_A1|"
        "MSR_(immediate|register)_(control|extension)_A1", "tables",
        "a change of mode may change r8 to lr", when=_BANKED),
    Disagreement("RFE writes PC and its base", "capstone", "valid", "misses a write", "RFE_A1", "tables",
        "that is what it is for (DDI 0406C B9.3.13)", when="registers & ~(0xff00 | 1 << Rn) == 0"),
    Disagreement("SRS stores LR at a stack", "capstone", "valid", "misses a read|misses a write", "SRS_A1", "tables",
        "it stores LR and SPSR, and may write SP back (DDI 0406C B9.3.16)", when="registers & ~0x6000 == 0"),
    Disagreement("exceptions", "capstone", "valid", "misses a read|misses a write", "(SVC|BKPT|HLT|HVC|SMC|UDF)_A1",
        "tables", "the handler may use any register"),
    Disagreement("registers of User mode", "capstone", "valid", "misses a read|adds a write", "LDM_user_A1", "tables",
        "sp and lr are another mode's; r8 to r12 may be, so that the own ones may keep their values"),
    Disagreement("registers of User mode, printed", "objdump", "valid", "prints a register that is not used",
        "LDM_user_A1", "tables", "sp and lr are another mode's (DDI 0406C B9.3.6)", when="registers & ~0x6000 == 0"),
    Disagreement("flags instead of PC", "objdump", "valid", "prints a register that is not used",
        "MRC2?_(low|high)_A[12]", "tables", "Rt = 15 writes the flags (DDI 0406C A8.8.107)",
        when="registers == 1 << 15"),
    Disagreement("accumulators of two registers", "capstone", "valid", "misses a read",
        "(UMAAL|UMLAL|SMLAL|SMLALBB|SMLALD|SMLSLD)_A1", "tables", "they are added to",
        when="registers & ~(1 << RdHi | 1 << RdLo) == 0"),
    Disagreement("shift amount in a register", "capstone", "valid", "misses a read",
        "[A-Z]+_register_shifted_register_A1", "tables", "Rs holds it", when="registers == 1 << Rs"),
    Disagreement("second operand of media instructions", "capstone", "valid", "misses a read",
        "PKH_A1|[SU]XTA(B|H|B16)_A1", "tables", "it is added or packed", when="registers == 1 << Rm"),
    Disagreement("operand of saturation", "capstone", "valid", "misses a read", "[SU]SAT(16)?_A1", "tables",
        "it is what is saturated", when="registers == 1 << Rn"),
    Disagreement("stored pairs", "capstone", "valid", "misses a read", "(STREXD|STLEXD)_A1", "tables",
        "both registers are stored", when="registers & ~(3 << Rt) == 0"),
    Disagreement("loaded pairs", "capstone", "valid", "misses a write", "(LDREXD|LDAEXD)_A1", "tables",
        "both registers are loaded", when="registers & ~(3 << Rt) == 0"),
    Disagreement("return through LR", "capstone", "valid", "misses a read", "BX_A1", "tables",
        "Capstone has a form of its own for `bx lr`, without operands", when="Rm == 14 and registers == 1 << 14"),
    Disagreement("base with write-back", "capstone", "valid", "misses a write",
        "(LDR|STR)B?T_A[12]|(LDRH|STRH|LDRSB|LDRSH)T_A[12]|STMDB_A1|(LDRB|STRB)_register_A1|V(LD|ST)[1-4]_.*|"
        "VSTMDB_A[12]|VLDMIA_A[12]", "tables", "these forms write the base", when="registers == 1 << Rn"),
    Disagreement("registers STMDB stores", "capstone", "valid", "misses a read", "STMDB_A1", "tables",
        "Capstone lists none of them with write-back, PUSH apart", when="W == 1"),
    Disagreement("stack of VPUSH and VPOP", "capstone", "valid", "misses a read", "VSTMDB_A[12]|VLDMIA_A[12]", "tables",
        "SP is the base", when="registers == 1 << 13"),
    Disagreement("transfers from core registers", "capstone", "valid", "misses a read",
        "VMOV_core_to_half_A1|VMSR(_system)?_A1", "tables", "Rt is the source", when="registers == 1 << Rt"),
    Disagreement("second source of a coprocessor", "capstone", "valid", "misses a read", "MCRR2?_(low|high)_A[12]",
        "tables", "Rt2 is a source", when="registers == 1 << Rt2"),
    Disagreement("destination of a transfer", "capstone", "valid", "misses a write",
        "MRC2?_(low|high)_A[12]|VMOV_half_to_core_A1", "tables", "Rt is written", when="registers == 1 << Rt"),
    Disagreement("two destinations of a coprocessor", "capstone", "valid", "misses a write", "MRRC2?_(low|high)_A[12]",
        "tables", "Rt and Rt2 are written", when="registers & ~(1 << Rt | 1 << Rt2) == 0"),
    Disagreement("destination of a coprocessor, as read", "capstone", "valid", "adds a read",
        "MRR?C2?_(low|high)_A[12]", "tables", "Capstone lists the destination as a source",
        when="registers == 1 << Rt"),
    Disagreement("vectors taken for coprocessors", "capstone", "valid", "adds a read|adds a write",
        "VDOT_BFloat16_A1|V(MMLA|FMAB_VFMAT)_BFloat16_A1|VFMAB_VFMAT_scalar_A1|VFMAL_VFMSL(_scalar)?_A1|"
        "V(S|US)MMLA.*_A1|VUSDOT(_VSUDOT_element)?_A1", "tables",
        "Capstone 5 takes some words of ARMv8.2 and ARMv8.6 for STC2, MCR2 and the like of coprocessors 8, 12, 13"),
)
