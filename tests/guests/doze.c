/* Purpose: wfi in the middle of a block, with counters read in the same block on both sides of it. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define N 40

static void on_trap(struct frame *f)
{
    fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
}

void guest_main(void)
{
    u64 rnd = 1, sum = 0;

    trap_handler = on_trap;
    csr_write(sie, 1 << IRQ_S_TIMER); /* pending ends a wfi, but sstatus.SIE is off: no trap */
    for (u64 i = 0; i < N; i++) {
        u64 a, b, c, before, after;

        rnd = rnd * 6364136223846793005ul + 1442695040888963407ul;
        before = rdtime();
        sbi_set_timer(before + 1 + (rnd >> 54));
        asm volatile("   rdinstret %0\n"
                     "   nop\n"
                     "   wfi\n"
                     "   rdinstret %1\n"
                     "   nop\n"
                     "   rdinstret %2\n"
                     : "=r"(a), "=r"(b), "=r"(c));
        after = rdtime();
        if (b - a != 3 || c - b != 2)
            fail("round %d: counted %d and %d", i, b - a, c - b);
        if (after < before + 1 + (rnd >> 54))
            fail("round %d: woke early", i);
        sum += after - before;
    }
    say("dozed %d ticks\n", sum);
}
