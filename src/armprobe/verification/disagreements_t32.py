"""The disagreements of T32 between the tables and other decoders that are explained, with who is right.

The rows that T32 has from A32, and others that differ in their layout alone, have the explanations of A32.
"""

from __future__ import annotations

from dataclasses import replace

from armprobe.verification.disagreements import EXPLAINED as EXPLAINED_A32
from armprobe.verification.disagreements import Disagreement

#: explanations of A32 that hold for the rows of T32 with the same names
_SHARED = (
    "unallocated memory hints", "speculation barrier", "BFloat16", "coprocessors of old",
    "fixed point and half precision", "coprocessors reserved for Arm", "undefined vector words",
    "fixed point with too many fraction bits", "LDC and STC without offset, up and write-back",
    "words near an instruction", "PC as an operand", "registers that must differ",
    "vector lists beyond the last register", "fraction bits below zero",
    "bit fields beyond bit 31", "modes and masks", "should-be bits", "banked registers", "RFE writes PC and its base",
    "SRS stores LR at a stack", "exceptions", "flags instead of PC", "accumulators of two registers",
    "second operand of media instructions", "operand of saturation", "base with write-back", "stack of VPUSH and VPOP",
    "transfers from core registers", "second source of a coprocessor", "destination of a transfer",
    "two destinations of a coprocessor", "destination of a coprocessor, as read", "vectors taken for coprocessors",
)  # fmt: skip

# fmt: off
_OWN = (
    # Words only a decoder calls unpredictable or undefined

    Disagreement("pairs at SP with write-back", "llvm", "valid", "unpredictable", "(LDRD|STRD)_immediate_T1", "tables",
        "the manual excludes PC as a base alone (DDI 0406C A8.8.72); compilers write `strd r4, r5, [sp, #-8]!`",
        when="Rn == 13 and W == 1"),
    Disagreement("more unallocated memory hints", "llvm capstone", "valid", "undefined",
        "unallocated_hint_(literal_T1|immediate_T2)", "tables",
        "the manual allocates them as no-operations (DDI 0406C A6.3.8)"),
    Disagreement("ThumbEE", "llvm capstone", "valid", "undefined", "(ENTER|LEAVE)X_T1", "tables",
        "the decoders do not know it; ARMv7 has it (DDI 0406C A9.3)"),
    Disagreement("UDF", "capstone", "valid", "undefined", "UDF_T1", "tables", "Capstone knows some numbers only"),

    # Words undefined by the tables that a decoder takes for an instruction

    Disagreement("stores relative to PC", "objdump", "undefined", "valid", "STR[BH]?T?_((immediate|register)_)?T[1-4]",
        "tables", "stores have no literal form: Rn = 15 is UNDEFINED (DDI 0406C A8.8.204); LLVM and Capstone agree",
        why="Rn == 15"),
    Disagreement("branches with a condition that is none", "objdump capstone", "undefined", "valid",
        "B_T3", "tables", "what is not allocated there is UNDEFINED (DDI 0406C A6.3.4)",
        why="cond >= 14"),
    Disagreement("BLX to half a word", "objdump capstone", "undefined", "valid|unpredictable", "BLX_immediate_T2",
        "tables",
        "H = 1 is UNDEFINED (DDI 0406C A8.8.25), and branch futures are M profile's", why="H == 1"),
    Disagreement("words near an instruction, in Capstone", "capstone", "undefined", "valid", "-", "tables",
        "Capstone leaves out bits of some multiplies, vector loads and immediates; LLVM agrees with the tables"),

    # Words that only the tables call unpredictable: each decoder leaves some checks out

    Disagreement("SP or PC as an operand", "all", "unpredictable", "valid",
        "SEL_T1|MRS(_SPSR)?_T1|CMP_register_T2|BLX_register_T1|BXJ_T1|MOV_register_T3|(STM|LDM)_T2|(STM|LDM)DB_T1|"
        "(ST|LD)REX[BHD]_T1|STRD_immediate_T1|RFE_T2|VSTR_T1|LDRS?[BH]_(literal|register|immediate)_T[123]|"
        "STR[BH]?_(immediate|register)_T[234]|M(CR|RC)R?2?_(low|high)_T[12]|MRRC2?_(low|high)_T[12]|VMOV_.*core.*|"
        "VDUP_core_T1|VMRS_system_T1", "tables",
        "the pseudocode of the instructions excludes it in T32; SP mostly up to ARMv7 only",
        why="(S == 1 and )?R[dnmt]2? (== 1[35]|in \\(13, 15\\))( and W == 1)?"),
    Disagreement("SP moved to itself, PC added to PC", "all", "unpredictable", "valid",
        "MOV_register_T3|ADD_register_T2", "tables", "DDI 0406C A8.8.103, A8.8.6",
        why="Rd == (13|15) and Rm == (13|15)"),
    Disagreement("SP and a shift", "all", "unpredictable", "valid", "(ADD|SUB)_SP_register_T[13]", "tables",
        "SP may be moved by a register shifted left by 0 to 3 only (DDI 0406C A8.8.10, A8.8.226)",
        why="Rd == 13 and \\(type > 0 or imm5 > 3\\)"),
    Disagreement("registers that must differ in T32", "all", "unpredictable", "valid",
        "(ST|STL)REXD_T1|STLEXD_T1|[SU]MU?LA?L(BB|D)?_T1|SMLSLD_T1|LDREXD_T1|LDAEXD_T1|LDRD_(literal|immediate)_T1|"
        "STRD_immediate_T1|(STR|LDR)S?[BH]?_immediate_T[234]", "tables",
        "two results in one register, or the base or status register among the data (DDI 0406C A8.8.214 and others)",
        why="Rd == (Rn|Rt|Rt2)|RdHi == RdLo|Rt == Rt2|W == 1 and (Rn == Rt|\\(Rn == Rt or Rn == Rt2\\))"),
    Disagreement("one register in two fields", "all", "unpredictable", "valid", "(REV|REV16|REVSH)_T2|(RBIT|CLZ)_T1",
        "tables", "both fields hold Rm (DDI 0406C A8.8.33, A8.8.145)", why="Rn != Rm"),
    Disagreement("low registers in the form for high ones", "all", "unpredictable", "valid", "CMP_register_T2",
        "tables", "DDI 0406C A8.8.38", why="Rn < 8 and Rm < 8"),
    Disagreement("register lists", "all", "unpredictable", "valid", "(STM|LDM)_T2|(STM|LDM)DB_T1", "tables",
        "SP, PC with LR, and single registers are excluded (DDI 0406C A8.8.58, A8.8.60)",
        why="registers >> 1[34] .*|count\\(registers\\) < 2"),
    Disagreement("write-back to a literal", "all", "unpredictable", "valid", "LDRD_literal_T1", "tables",
        "DDI 0406C A8.8.73", why="W == 1"),
    Disagreement("patterns of zero", "all", "unpredictable", "valid", "[A-Z]+(_SP)?_immediate_T[123].*",
        "tables", "ThumbExpandImm and AdvSIMDExpandImm exclude a byte of zero in places that are not the lowest "
        "(DDI 0406C A6.3.2, A7.4.6)", why="(imm12 >> 8 )?.*imm8 == 0.*"),
    Disagreement("modes and masks in T32", "all", "unpredictable", "valid", "CPS_T[12]|SRS_T2", "tables",
        "reserved modes, and masks of nothing (DDI 0406C B9.3.2, B9.3.16)",
        why=".*mode not in .*|(imod >= 2 and )?A \\+ I \\+ F == 0"),
    Disagreement("an else of always", "all", "unpredictable", "valid", "IT_T1", "tables",
        "after IT AL there is no never (DDI 0406C A8.8.54)", why="firstcond == 14 and .*"),

    # Core registers that a decoder leaves out of its lists, or adds to them

    Disagreement("PC of branches and addresses", "capstone", "valid", "misses a read|misses a write",
        "B_T[1-4]|CBZ_T1|ADR_T1|BXJ_T1|TBB_T1", "tables", "they depend on where they stand, and all but ADR write PC",
        when="registers == 1 << 15"),
    Disagreement("data of unprivileged stores, bases of LDC2", "capstone", "valid",
        "misses a read|misses a write|adds a write", "STR[BH]T_T1|LDC2_low_T2", "tables",
        "Capstone lists what is stored as written, and leaves the base out",
        when="registers == 1 << (word >> 12 & 15) or word >> 25 == 0x7e and registers == 1 << (word >> 16 & 15)"),
    Disagreement("exception returns", "capstone", "valid", "misses a read|misses a write|adds a read",
        "SUBS_PC_LR_T1", "tables", "a change of mode may change r8 to lr; PC is written, not read",
        when="registers & ~0xff00 == 0"),
    Disagreement("banked registers in T32", "capstone", "valid", "misses a read|misses a write", "CPS_T2", "tables",
        "a change of mode may change r8 to lr", when="registers & 0x80ff == 0"),
    Disagreement("RFE IA", "capstone", "valid", "misses a read|misses a write", "RFE_T2", "tables",
        "it may change the mode, and writes PC and its base (DDI 0406C B9.3.13)",
        when="registers & ~(0xff00 | 1 << Rn) == 0"),
    Disagreement("SRS IA", "capstone", "valid", "misses a read|misses a write", "SRS_T2", "tables",
        "it stores LR and SPSR, and may write SP back (DDI 0406C B9.3.16)", when="registers & ~0x6000 == 0"),
    Disagreement("exceptions by 32 bits", "capstone", "valid", "misses a read|misses a write",
        "UDF_T2", "tables",
        "the handler may use any register"),
    Disagreement("CRC of halfwords, pointer authentication", "objdump", "valid", "prints a register that is not used",
        "CRC32C?_T1|unallocated_hint_T2", "tables",
        "objdump takes bits 7:4 for Rd where it prints CRCs of halfwords; PAC and AUT are hints of the M profile alone",
        when="word >> 24 == 0xfa and word >> 4 & 3 == 1 or word >> 24 == 0xf3 and word & 0xff in (13, 29, 45)"),
)
# fmt: on


def _of_t32(one: Disagreement) -> Disagreement:
    return replace(one, rows=one.rows.replace("_A", "_T"))


EXPLAINED: tuple[Disagreement, ...] = (*_OWN, *(_of_t32(one) for one in EXPLAINED_A32 if one.name in _SHARED))
