/* Purpose: instruction sequences of known length for the counters guest. */
/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Each seq_NAME(a0 = 64 bytes of scratch memory) returns in a0 the
 * difference of instret across it.  A read gives the count before the
 * reading instruction itself retires, so the difference is one (the first
 * read) plus the instructions between: n_NAME.
 * They are leaves and use no stack, so that U-mode can run them too.
 */
        .macro  BEGIN name
        .balign 4
        .globl  seq_\name
seq_\name:
        mv      t6, ra
        mv      t5, a0
        rdinstret t4
        .endm
        .macro  END name, between
        rdinstret t3
        sub     a0, t3, t4
        jr      t6
        .globl  n_\name
        .set    n_\name, \between + 1
        .endm

        .text
        .option norvc

        BEGIN   empty
        END     empty, 0

        BEGIN   wide
        .rept   100
        addi    a1, a1, 1
        .endr
        END     wide, 100

        .option rvc
        BEGIN   compressed
        .rept   101
        c.addi  a1, 1
        .endr
        END     compressed, 101

        BEGIN   mixed                   /* wide ones at every alignment */
        .rept   50
        c.addi  a1, 1
        xori    a2, a1, 0x555
        c.mv    a3, a2
        c.add   a3, a1
        mulw    a4, a3, a1
        .endr
        END     mixed, 250

        BEGIN   memory
        .rept   20
        c.sd    a1, 0(a0)
        sw      a2, 8(t5)
        c.ld    a3, 0(a0)
        lbu     a4, 9(t5)
        amoadd.d a5, a1, (t5)
        sc.w    a4, a2, (t5)            /* fails or not: it retires */
        .endr
        END     memory, 120

        BEGIN   taken                   /* li, 200 times addi and bnez */
        c.li    a1, 0
        addi    a1, a1, 200
1:      c.addi  a1, -1
        c.bnez  a1, 1b
        END     taken, 2 + 400

        BEGIN   nottaken
        .rept   30
        bnez    zero, 2f
        c.nop
        bltu    t5, zero, 2f
        .endr
2:
        END     nottaken, 90

        BEGIN   jumps                   /* each skips over an instruction */
        .rept   30
        j       3f
        c.nop
3:      c.addi  a1, 1
        .endr
        END     jumps, 60

        .option norvc
        BEGIN   call                    /* la is 2, li 1, then 40 rounds of 5 */
        lla     a2, leaf
        li      a1, 40
4:      jal     leaf                    /* jal, addi, ret */
        addi    a1, a1, -1
        bnez    a1, 4b
        jalr    a2                      /* jalr, addi, ret */
        END     call, 3 + 40*5 + 3
leaf:
        addi    a3, a3, 1
        ret

        BEGIN   csr                     /* reads that end a block, fences */
        .rept   10
        rdtime  a1
        rdcycle a2
        rdinstret a3
        fence
        fence.i
        nop
        .endr
        END     csr, 60

        BEGIN   pages                   /* runs across page boundaries */
        .rept   3000
        addi    a1, a1, 1
        .endr
        END     pages, 3000

        BEGIN   crossing                /* ends in the second half of a page */
        li      a1, 100
5:      j       6f
        .balign 4096
        .space  4096 - 6
6:      addi    a2, a2, 1               /* -6 */
        .option rvc
        xori    a2, a2, 1               /* -2: half in the next page */
        .option norvc
        addi    a1, a1, -1
        beqz    a1, 7f
        j       5b
7:
        END     crossing, 1 + 100*5 + 99
