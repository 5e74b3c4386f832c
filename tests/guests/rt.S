/* Purpose: start-up, trap entry and the way into and out of U-mode. */
/* SPDX-License-Identifier: GPL-2.0-or-later */

        .section .text.start, "ax"
        .globl  _start
_start:
        csrw    sie, zero
        csrw    satp, zero
        csrci   sstatus, 2              /* interrupts off */
        la      sp, stack_top
        la      t0, bss_start
        la      t1, bss_end
1:      sd      zero, 0(t0)
        addi    t0, t0, 8
        bltu    t0, t1, 1b
        la      t0, trap_frame
        csrw    sscratch, t0
        la      t0, trap_entry
        csrw    stvec, t0
        j       rt_start                /* a0 = hart, a1 = device tree */

/*
 * sscratch holds the address of the one trap frame (with the trap stack
 * below it) or 0 while a trap is being handled, so that a trap inside a
 * handler is noticed instead of destroying the frame.
 */
        .text
        .balign 4
        .globl  trap_entry
trap_entry:
        csrrw   sp, sscratch, sp
        beqz    sp, nested
        .irp r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        sd      x\r, 8*\r(sp)
        .endr
        csrrw   t0, sscratch, zero      /* the interrupted sp */
        sd      t0, 16(sp)
        csrr    t0, sepc
        sd      t0, 256(sp)
        csrr    t0, sstatus
        sd      t0, 264(sp)
        csrr    t0, scause
        sd      t0, 272(sp)
        csrr    t0, stval
        sd      t0, 280(sp)
        mv      a0, sp
        ld      t0, trap_handler
        jalr    t0
        ld      t0, 256(sp)
        csrw    sepc, t0
        ld      t0, 264(sp)
        csrw    sstatus, t0
        csrw    sscratch, sp
        .irp r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld      x\r, 8*\r(sp)
        .endr
        ld      sp, 16(sp)
        sret

nested: la      sp, stack_top           /* the old contents do not matter now */
        j       rt_nested

/*
 * u64 user_run(u64 pc, u64 sp, u64 a0, u64 a1): runs U-mode code until a
 * trap handler calls user_leave(), whose value it returns.  The U-mode
 * code starts with ra = user_exit_va, an ecall, so it may also just return.
 */
        .globl  user_run
user_run:
        addi    sp, sp, -112
        sd      ra, 0(sp)
        .irp r, 0,1,2,3,4,5,6,7,8,9,10,11
        sd      s\r, 8+8*\r(sp)
        .endr
        la      t0, user_saved_sp
        sd      sp, 0(t0)
        csrw    sepc, a0
        li      t0, 0x100               /* SPP = U */
        csrc    sstatus, t0
        ld      ra, user_exit_va
        mv      sp, a1
        mv      a0, a2
        mv      a1, a3
        sret

        .globl  user_back               /* user_leave() returns to here, in S */
user_back:
        ld      sp, user_saved_sp
        ld      ra, 0(sp)
        .irp r, 0,1,2,3,4,5,6,7,8,9,10,11
        ld      s\r, 8+8*\r(sp)
        .endr
        addi    sp, sp, 112
        ret

        .globl  user_exit
user_exit:
        li      a7, 0
        ecall

        .bss
        .balign 16
        .space  32768
stack_top:
        .space  16384
trap_frame:
        .space  40*8                    /* 36 words of frame, 4 for a guest's own entry code */
user_saved_sp:
        .space  8
