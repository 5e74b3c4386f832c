/* Purpose: code in the last page of the address space, up to its last byte. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define VA (-PAGE)
#define ROUNDS 300

/*
 * The routines.  All take and return a0; two read a counter in the middle of a block.  The last one ends where
 * addresses end.
 */
extern char page[], middle[], plain[], end[];
asm(".text\n.balign 4096\n"
    ".option push\n.option rvc\n"
    "page: .zero 3072\n"
    "middle: c.addi a0, 1\n"
    " addi a0, a0, 100\n"
    " rdinstret a1\n"
    " c.addi a0, 2\n"
    " c.jr ra\n"                      /* 5 */
    "plain: addi a0, a0, 1000\n"
    " c.li a1, 5\n"
    "1: c.addi a0, 3\n"
    " addi a1, a1, -1\n"
    " c.bnez a1, 1b\n"                /* 15 */
    " c.jr ra\n"                      /* 2 + 15 + 1 */
    ".zero 4096 - 10 - (. - page)\n"
    "end: c.addi a0, 5\n"
    " rdinstret a1\n"
    " c.addi a0, 7\n"
    " c.jr ra\n"                      /* 4 */
    ".option pop\n");

#include "timed.h"

static void run(const char *what, const char *routine, u64 len, u64 more)
{
    u64 va = VA + (u64)(routine - page), sum = 0;

    for (u64 i = 0; i < ROUNDS; i++) {
        struct result r = timed_call(va, i);
        if (r.a0 != i + more)
            fail("%s at %x round %d: %d expected %d", what, va, i, r.a0, i + more);
        sum += r.delta;
    }
    say("instret-delta %d expect %d %s\n", sum, ROUNDS * (2 + len), what);
}

void guest_main(void)
{
    u64 *root = root_new();

    sbi_set_timer(-1ul);
    map(root, VA, (u64)page, PTE_RX);
    mmu_on(root);
    for (int i = 0; i < 2; i++) {
        run("middle", middle, 5, 103);
        run("plain", plain, 18, 1015);
        run("end", end, 4, 12);
    }
}
