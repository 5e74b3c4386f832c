/* Purpose: the faulting instructions of the traps guest, and its vectored trap table. */
/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Every case is a leaf function c_NAME whose faulting instruction is f_NAME.
 * It counts in a1 the steps before the fault (so that one executed twice or
 * not at all is seen), never changes a0, and loads into a2 only.  The trap
 * handler goes on at ra, wherever the fault was.
 */
        .macro  ONE name, insn:vararg
        .balign 4
        .globl  c_\name, f_\name
c_\name:
        addi    a1, a1, 1
f_\name:
        \insn
        ret
        .endm

        .text
        .option norvc                   /* 4-byte forms unless said otherwise */
        ONE zero,    .half 0
        ONE resv4,   .word 0x0000006b   /* a reserved major opcode */
        ONE resv2,   .half 0x0004       /* c.addi4spn with immediate 0 */
        ONE mcsr,    csrr a2, mstatus
        ONE nocsr,   csrr a2, 0x1c0
        ONE rocsr,   .word 0xc0001073   /* csrrw zero, cycle, zero */
        ONE mret,    mret
        ONE fadd,    fadd.d fa0, fa0, fa0
        ONE fld,     fld fa0, 0(a0)
        ONE ebreak,  ebreak
        ONE ld,      ld a2, 0(a0)
        ONE lw,      lw a2, 4(a0)
        ONE lbu,     lbu a2, 7(a0)
        ONE sd,      sd a2, 0(a0)
        ONE sb,      sb a2, 7(a0)
        ONE amo,     amoadd.d a2, a1, (a0)
        ONE lr,      lr.d a2, (a0)
        ONE jr,      jr a0
        ONE ecall,   ecall
        ONE sret,    sret
        ONE wfi,     wfi
        ONE scsr,    csrr a2, sstatus
        ONE sfence,  sfence.vma
        .option rvc
        ONE cebreak, c.ebreak
        ONE cld,     c.ld a2, 0(a0)
        ONE clw,     c.lw a2, 4(a0)
        ONE csd,     c.sd a2, 0(a0)
        ONE cjr,     c.jr a0
        .option norvc

/* First instruction of its function, so of a translated block. */
        .globl  c_first, f_first
c_first:
f_first:
        ld      a2, 0(a0)
        ret

/* A store as the first instruction after one that ends a block. */
        .globl  c_afterjump, f_afterjump
c_afterjump:
        addi    a1, a1, 1
        j       f_afterjump
        nop
f_afterjump:
        sd      a2, 0(a0)
        ret

/* In a loop that has run many times when the pointer leaves its page. */
        .globl  c_loop, f_loop
c_loop:
        mv      a3, a0
1:      addi    a1, a1, 1
f_loop: ld      a4, 0(a3)
        addi    a3, a3, 8
        j       1b

/* Last instruction of a page, and first one of the next page. */
        .balign 4096
        .space  4096-8
        .globl  c_lastpg, f_lastpg, c_clastpg, f_clastpg, c_firstpg, f_firstpg
c_lastpg:
        addi    a1, a1, 1
f_lastpg:
        ld      a2, 0(a0)
        ret
        .balign 4096
        .space  4096-6
c_clastpg:
        addi    a1, a1, 1
        .option rvc
f_clastpg:
        c.ld    a2, 0(a0)
        .option norvc
        ret
        .balign 4096
        .space  4096-4
c_firstpg:
        addi    a1, a1, 1
f_firstpg:
        ld      a2, 0(a0)
        ret

/* Misaligned accesses; loads return what they read. */
        .macro  MIS name, insn:vararg
        .globl  m_\name
m_\name:
        \insn
        ret
        .endm
        MIS lh,   lh a0, 0(a0)
        MIS lhu,  lhu a0, 0(a0)
        MIS lw,   lw a0, 0(a0)
        MIS lwu,  lwu a0, 0(a0)
        MIS ld,   ld a0, 0(a0)
        MIS sh,   sh a1, 0(a0)
        MIS sw,   sw a1, 0(a0)
        MIS sd,   sd a1, 0(a0)
        MIS amow, amoadd.w zero, a1, (a0)
        MIS amod, amoswap.d zero, a1, (a0)
        MIS lrw,  lr.w zero, (a0)
        MIS lrd,  lr.d zero, (a0)

/* Spins in U-mode until an interrupt comes. */
        .globl  u_spin
u_spin: j       u_spin

/*
 * Vectored table.  Each entry writes its number into the word after the
 * trap frame and goes on with the common entry code.
 */
        .balign 256
        .globl  vec_table
vec_table:
        .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        j       vec_\i
        .endr
        .irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
vec_\i:
        csrrw   sp, sscratch, sp
        sd      t0, 296(sp)
        li      t0, \i
        sd      t0, 288(sp)
        ld      t0, 296(sp)
        csrrw   sp, sscratch, sp
        j       trap_entry
        .endr
