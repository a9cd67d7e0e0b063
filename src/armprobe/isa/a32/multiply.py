"""Multiplies and divides (DDI 0406C A5.2.5 multiply and multiply accumulate, A5.2.7 halfword multiply, A5.4.4 signed).

Q is sticky: what may set it lists it as read as well, because it may also stay.
"""

from __future__ import annotations

from functools import partial

from armprobe.isa.rows import TableBuilder

table = TableBuilder()
row = table.row
# fmt: off

RD_RN_RM = "Rd == 15; Rn == 15; Rm == 15"
LONG = "RdLo == 15; RdHi == 15; Rn == 15; Rm == 15; RdHi == RdLo"

plain = partial(row, flags_read="", flags_written="", memory="none", relocate="verbatim")
flagged = partial(row, flags_read="", flags_written="NZ if S == 1", memory="none", relocate="verbatim", ref="A5.2.5")
sticky = partial(row, flags_read="Q", flags_written="Q", memory="none", relocate="verbatim")

# Multiply and multiply accumulate

flagged("MUL_A1", "cond:4 0000000 S:1 Rd:4 (0)(0)(0)(0) Rm:4 1001 Rn:4", reads="Rn Rm", writes="Rd",
    unpredictable=RD_RN_RM)
flagged("MLA_A1", "cond:4 0000001 S:1 Rd:4 Ra:4 Rm:4 1001 Rn:4", reads="Rn Rm Ra", writes="Rd",
    unpredictable=RD_RN_RM + "; Ra == 15")
plain("UMAAL_A1", "cond:4 00000100 RdHi:4 RdLo:4 Rm:4 1001 Rn:4", reads="RdHi RdLo Rn Rm", writes="RdHi RdLo",
    unpredictable=LONG, ref="A5.2.5")
plain("MLS_A1", "cond:4 00000110 Rd:4 Ra:4 Rm:4 1001 Rn:4", reads="Rn Rm Ra", writes="Rd",
    unpredictable=RD_RN_RM + "; Ra == 15", ref="A5.2.5")
flagged("UMULL_A1", "cond:4 0000100 S:1 RdHi:4 RdLo:4 Rm:4 1001 Rn:4", reads="Rn Rm", writes="RdHi RdLo",
    unpredictable=LONG)
flagged("UMLAL_A1", "cond:4 0000101 S:1 RdHi:4 RdLo:4 Rm:4 1001 Rn:4", reads="RdHi RdLo Rn Rm", writes="RdHi RdLo",
    unpredictable=LONG)
flagged("SMULL_A1", "cond:4 0000110 S:1 RdHi:4 RdLo:4 Rm:4 1001 Rn:4", reads="Rn Rm", writes="RdHi RdLo",
    unpredictable=LONG)
flagged("SMLAL_A1", "cond:4 0000111 S:1 RdHi:4 RdLo:4 Rm:4 1001 Rn:4", reads="RdHi RdLo Rn Rm", writes="RdHi RdLo",
    unpredictable=LONG)

# Halfword multiply and multiply accumulate: N and M choose the halves

sticky("SMLABB_A1", "cond:4 00010000 Rd:4 Ra:4 Rm:4 1 M:1 N:1 0 Rn:4", reads="Rn Rm Ra", writes="Rd",
    unpredictable=RD_RN_RM + "; Ra == 15", ref="A5.2.7")
sticky("SMLAWB_A1", "cond:4 00010010 Rd:4 Ra:4 Rm:4 1 M:1 00 Rn:4", reads="Rn Rm Ra", writes="Rd",
    unpredictable=RD_RN_RM + "; Ra == 15", ref="A5.2.7")
plain("SMULWB_A1", "cond:4 00010010 Rd:4 (0)(0)(0)(0) Rm:4 1 M:1 10 Rn:4", reads="Rn Rm", writes="Rd",
    unpredictable=RD_RN_RM, ref="A5.2.7")
plain("SMLALBB_A1", "cond:4 00010100 RdHi:4 RdLo:4 Rm:4 1 M:1 N:1 0 Rn:4", reads="RdHi RdLo Rn Rm",
    writes="RdHi RdLo", unpredictable=LONG, ref="A5.2.7")
plain("SMULBB_A1", "cond:4 00010110 Rd:4 (0)(0)(0)(0) Rm:4 1 M:1 N:1 0 Rn:4", reads="Rn Rm", writes="Rd",
    unpredictable=RD_RN_RM, ref="A5.2.7")

# Signed multiply, signed and unsigned divide: M exchanges the halves of Rm, R rounds

with table.ordered():
    sticky("SMUAD_A1", "cond:4 01110000 Rd:4 1111 Rm:4 00 M:1 1 Rn:4", reads="Rn Rm", writes="Rd",
        unpredictable=RD_RN_RM, ref="A5.4.4")
    sticky("SMLAD_A1", "cond:4 01110000 Rd:4 Ra:4 Rm:4 00 M:1 1 Rn:4", reads="Rn Rm Ra", writes="Rd",
        unpredictable=RD_RN_RM, ref="A5.4.4")
with table.ordered():
    plain("SMUSD_A1", "cond:4 01110000 Rd:4 1111 Rm:4 01 M:1 1 Rn:4", reads="Rn Rm", writes="Rd",
        unpredictable=RD_RN_RM, ref="A5.4.4")
    sticky("SMLSD_A1", "cond:4 01110000 Rd:4 Ra:4 Rm:4 01 M:1 1 Rn:4", reads="Rn Rm Ra", writes="Rd",
        unpredictable=RD_RN_RM, ref="A5.4.4")
plain("SDIV_A1", "cond:4 01110001 Rd:4 (1)(1)(1)(1) Rm:4 0001 Rn:4", reads="Rn Rm", writes="Rd",
    unpredictable=RD_RN_RM, ref="A5.4.4")
plain("UDIV_A1", "cond:4 01110011 Rd:4 (1)(1)(1)(1) Rm:4 0001 Rn:4", reads="Rn Rm", writes="Rd",
    unpredictable=RD_RN_RM, ref="A5.4.4")
plain("SMLALD_A1", "cond:4 01110100 RdHi:4 RdLo:4 Rm:4 00 M:1 1 Rn:4", reads="RdHi RdLo Rn Rm",
    writes="RdHi RdLo", unpredictable=LONG, ref="A5.4.4")
plain("SMLSLD_A1", "cond:4 01110100 RdHi:4 RdLo:4 Rm:4 01 M:1 1 Rn:4", reads="RdHi RdLo Rn Rm",
    writes="RdHi RdLo", unpredictable=LONG, ref="A5.4.4")
with table.ordered():
    plain("SMMUL_A1", "cond:4 01110101 Rd:4 1111 Rm:4 00 R:1 1 Rn:4", reads="Rn Rm", writes="Rd",
        unpredictable=RD_RN_RM, ref="A5.4.4")
    plain("SMMLA_A1", "cond:4 01110101 Rd:4 Ra:4 Rm:4 00 R:1 1 Rn:4", reads="Rn Rm Ra", writes="Rd",
        unpredictable=RD_RN_RM, ref="A5.4.4")
plain("SMMLS_A1", "cond:4 01110101 Rd:4 Ra:4 Rm:4 11 R:1 1 Rn:4", reads="Rn Rm Ra", writes="Rd",
    unpredictable=RD_RN_RM + "; Ra == 15", ref="A5.4.4")
