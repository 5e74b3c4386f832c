/* Purpose: sleeps three seconds in wfi, woken once by the timer. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

static volatile u64 ticks;

static void on_trap(struct frame *f)
{
    if (f->scause != (INTR | IRQ_S_TIMER))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    sbi_set_timer(-1ul);
    ticks++;
}

void guest_main(void)
{
    u64 start = rdtime();

    trap_handler = on_trap;
    sbi_set_timer(start + 3 * TIMEBASE);
    csr_set(sie, 1 << IRQ_S_TIMER);
    say("asleep\n");
    while (!ticks) {
        wfi();
        csr_set(sstatus, SSTATUS_SIE);
        csr_clear(sstatus, SSTATUS_SIE);
    }
    say("slept %d ms\n", (rdtime() - start) / (TIMEBASE / 1000));
}
