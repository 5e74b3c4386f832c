/* Purpose: reads the real-time clock, and waits for its alarm. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

static u64 rtc;
static u32 rtc_irq;
static volatile u64 alarms, guard, at;

/* Reading the low half latches the high one. */
static u64 now(void)
{
    u64 low = read32(rtc);
    return (u64)read32(rtc + 4) << 32 | low;
}

static void on_trap(struct frame *f)
{
    if (f->scause == (INTR | IRQ_S_TIMER)) {
        sbi_set_timer(-1ul);
        guard++;
        return;
    }
    if (f->scause != (INTR | IRQ_S_EXT))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    u32 irq = plic_claim();
    if (irq != rtc_irq)
        fail("irq %d", (u64)irq);
    at = now();
    alarms++;
    write32(rtc + 0x1c, 1); /* CLEAR_INTERRUPT */
    plic_complete(irq);
}

void guest_main(void)
{
    struct dtnode n;
    u64 last = 0;

    if (!fdt_find("google,goldfish-rtc", &n)) {
        say("SKIP\n");
        return;
    }
    rtc = n.base;
    rtc_irq = n.irq;
    trap_handler = on_trap;
    sbi_set_timer(-1ul);

    for (u64 i = 0; i < 20; i++) {
        u64 t = now();
        say("time %d\n", t);
        if (t < last)
            fail("the clock went back from %d to %d", last, t);
        last = t;
        for (volatile u64 j = 0; j < 1000 * i; j++)
            ;
    }
    u64 t0 = now(), r0 = rdtime();
    while (rdtime() - r0 < TIMEBASE / 100)
        ;
    u64 ns = now() - t0, ticks = rdtime() - r0;
    say("10 ms by rdtime: %d ticks, rtc %d ns\n", ticks, ns);

    if (!rtc_irq) {
        say("alarm SKIP: no interrupt in the device tree\n");
        return;
    }
    plic_enable(rtc_irq);
    csr_set(sie, 1 << IRQ_S_TIMER); /* a guard, so that wfi ends in any case */
    for (u64 i = 0; i < 5; i++) {
        csr_clear(sstatus, SSTATUS_SIE);
        alarms = guard = 0;
        sbi_set_timer(rdtime() + TIMEBASE / 2);
        u64 due = now() + 2000000;
        write32(rtc + 0x10, 1);           /* IRQ_ENABLED */
        write32(rtc + 0x0c, due >> 32);   /* ALARM_HIGH, then the low half arms it */
        write32(rtc + 0x08, due);
        u64 running = read32(rtc + 0x18); /* ALARM_STATUS */
        while (!alarms && !guard) {
            wfi();
            csr_set(sstatus, SSTATUS_SIE);
            csr_clear(sstatus, SSTATUS_SIE);
        }
        sbi_set_timer(-1ul);
        if (!alarms && !running) {
            say("alarm SKIP: this clock has none\n");
            return;
        }
        if (alarms != 1)
            fail("%d alarms", alarms);
        if (at < due)
            fail("alarm early: at %d due %d", at, due);
        say("alarm late by %d ns\n", at - due);
    }

    /* Cleared in time: nothing comes. */
    alarms = guard = 0;
    u64 due = now() + 20000000;
    write32(rtc + 0x0c, due >> 32);
    write32(rtc + 0x08, due);
    write32(rtc + 0x14, 1); /* CLEAR_ALARM */
    if (read32(rtc + 0x18))
        fail("alarm running after CLEAR_ALARM");
    csr_set(sstatus, SSTATUS_SIE);
    while (now() < due + 5000000)
        ;
    csr_clear(sstatus, SSTATUS_SIE);
    if (alarms)
        fail("a cleared alarm came");
    say("cleared alarm ok\n");
}
