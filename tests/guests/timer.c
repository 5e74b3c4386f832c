/* Purpose: timer interrupts through the firmware, in wfi and in a busy loop, and disarming. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define N 50
static volatile u64 fired, at, deadline;

static void on_trap(struct frame *f)
{
    at = rdtime();
    if (f->scause != (INTR | IRQ_S_TIMER))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    if (!(f->sstatus & SSTATUS_SPP) || !(f->sstatus & SSTATUS_SPIE))
        fail("sstatus %x at the interrupt", f->sstatus);
    if (at < deadline)
        fail("interrupt early: at %d deadline %d", at, deadline);
    fired++;
    sbi_set_timer(-1ul); /* this also lowers the pending interrupt */
    if (csr_read(sip) & 1 << IRQ_S_TIMER)
        fail("STIP still set after set_timer");
}

static void arm(u64 ticks)
{
    fired = 0;
    deadline = rdtime() + ticks;
    if (sbi_set_timer(deadline))
        fail("set_timer");
}

void guest_main(void)
{
    u64 rnd = 1, work;

    trap_handler = on_trap;
    sbi_set_timer(-1ul);
    csr_write(sie, 1 << IRQ_S_TIMER);

    for (u64 i = 0; i < N; i++) {
        /* Off until wfi, which a pending interrupt ends all the same. */
        csr_clear(sstatus, SSTATUS_SIE);
        u64 ticks = 50 + lcg(&rnd) % 15000;
        arm(ticks);
        u64 wakes = 0;
        while (!fired) {
            wfi();
            wakes++;
            csr_set(sstatus, SSTATUS_SIE);
            csr_clear(sstatus, SSTATUS_SIE);
        }
        if (fired != 1)
            fail("%d interrupts for one deadline", fired);
        say("wfi %d ticks %d late %d wakes %d\n", i, ticks, at - deadline, wakes);
    }

    csr_set(sstatus, SSTATUS_SIE);
    for (u64 i = 0; i < N; i++) {
        u64 ticks = 50 + lcg(&rnd) % 15000;
        arm(ticks);
        for (work = 0; !fired; work++)
            ;
        if (fired != 1)
            fail("%d interrupts for one deadline", fired);
        say("busy %d ticks %d late %d\n", i, ticks, at - deadline);
    }

    /* A deadline already past is due at once. */
    fired = 0;
    deadline = rdtime() - 100;
    sbi_set_timer(deadline);
    for (u64 t = rdtime(); !fired;)
        if (rdtime() - t > TIMEBASE)
            fail("a past deadline did not fire");
    say("past ok\n");

    /* Disarmed in time: nothing comes. */
    for (u64 i = 0; i < 4; i++) {
        arm(100000);
        sbi_set_timer(-1ul);
        for (u64 t = rdtime(); rdtime() - t < 150000;)
            ;
        if (fired)
            fail("interrupt from a disarmed timer");
    }
    say("disarm ok\n");

    /* Rearmed before it fires: the later deadline counts. */
    arm(50000);
    arm(100000);
    while (!fired)
        ;
    say("rearm ok\n");

    /* Pending but masked: seen in sip only. */
    csr_clear(sstatus, SSTATUS_SIE);
    arm(1000);
    for (u64 t = rdtime(); !(csr_read(sip) & 1 << IRQ_S_TIMER);)
        if (rdtime() - t > TIMEBASE)
            fail("STIP never set");
    if (rdtime() < deadline)
        fail("STIP early");
    if (fired)
        fail("interrupt while masked");
    sbi_set_timer(-1ul);
    if (csr_read(sip) & 1 << IRQ_S_TIMER)
        fail("STIP not cleared by set_timer");
    csr_set(sstatus, SSTATUS_SIE);
    if (fired)
        fail("interrupt after STIP was cleared");
    say("masked ok\n");
}
