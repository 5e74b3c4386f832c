/* Purpose: straight lines with a fault in the middle, and a handler of known length. */
/* SPDX-License-Identifier: GPL-2.0-or-later */

        .text
        .option norvc
/*
 * Makes the page present and returns: mf_pte, mf_value.  Straight-line code,
 * so that every fault costs exactly mf_len instructions.  Without a stack:
 * it keeps what it needs at mf_state, whose address sscratch holds.
 */
        .balign 4
        .globl  mf_trap, mf_len
mf_trap:
        csrrw   t6, sscratch, t6
        sd      t4, 0(t6)
        sd      t5, 8(t6)
        csrr    t4, scause
        sd      t4, 16(t6)
        csrr    t4, sepc
        sd      t4, 24(t6)
        csrr    t4, stval
        sd      t4, 32(t6)
        ld      t4, 40(t6)              /* count the fault */
        addi    t4, t4, 1
        sd      t4, 40(t6)
        ld      t5, 64(t6)              /* too many: it does not help */
        bgtu    t4, t5, mf_stuck
        ld      t4, 48(t6)
        ld      t5, 56(t6)
        sd      t5, 0(t4)
        sfence.vma
        ld      t4, 0(t6)
        ld      t5, 8(t6)
        csrrw   t6, sscratch, t6
        sret
mf_end:
        .set    mf_len, (mf_end - mf_trap) / 4
mf_stuck:
        la      sp, mf_stack
        j       mf_give_up

        .bss
        .balign 16
        .globl  mf_state
mf_state:
        .space  72
        .balign 16
        .space  4096
mf_stack:

/*
 * u64 NAME(a0 = address that may fault, a1 = counters in memory): counts
 * before and after the fault, in registers and in memory; adds nothing
 * twice.  Returns in a0 the difference of instret, in a1 the sum of the
 * register counters (12 if each step was executed once), in a2 what the
 * access loaded.  NAME_at is the instruction that may fault, NAME_n the
 * instructions between the two reads of instret plus one.
 */
        .macro  LINE name, insn:vararg
        .text
        .balign 4
        .globl  \name, \name\()_at, \name\()_n
\name:
        li      a2, 0x5a5
        li      a3, 0
        li      t5, 0x3333
        rdinstret t0
\name\()_s:
        addi    a3, a3, 1
        .option rvc
        c.ld    a4, 0(a1)
        c.addi  a4, 1
        c.sd    a4, 0(a1)
        .option norvc
        addi    a3, a3, 2
        amoadd.d zero, a3, (a1)         /* + 3 */
\name\()_at:
        \insn
        addi    a3, a3, 4
        ld      a4, 8(a1)
        addi    a4, a4, 1
        sd      a4, 8(a1)
        addi    a3, a3, 5
\name\()_e:
        rdinstret t1
        sub     t0, t1, t0
        mv      a0, t0
        mv      a1, a3
        ret
        .set    \name\()_n, 13
        .endm

        LINE    mf_sd,   sd t5, 0(a0)
        LINE    mf_ld,   ld a2, 0(a0)
        LINE    mf_amo,  amoswap.d a2, t5, (a0)
        LINE    mf_sh,   sh t5, 0(a0)
        LINE    mf_lw,   lw a2, 0(a0)
        LINE    mf_lr,   lr.d a2, (a0)
        LINE    mf_fld,  fld fa0, 0(a0)
        LINE    mf_fsd,  fsd fa0, 0(a0)
        LINE    mf_cld,  .half 0x6110   /* c.ld a2, 0(a0) */
        LINE    mf_csd,  .half 0xe110   /* c.sd a2, 0(a0) */
