/* Purpose: exceptions of floating-point arithmetic stay accrued in fcsr over sleep, work and a unit that is off. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define ROUNDS 40
#define NX 1
#define UF 2
#define OF 4
#define DZ 8
#define NV 16

#define ONE 0x3ff0000000000000ul
#define THREE 0x4008000000000000ul
#define LEAST 0x0010000000000000ul
#define MOST 0x7feffffffffffffful

static const struct {
    u64 a, b, flags;
} quotients[] = {
    {ONE, THREE, NX}, {LEAST, MOST, UF | NX}, {MOST, LEAST, OF | NX}, {ONE, 0, DZ}, {0, 0, NV},
};
#define KINDS (sizeof quotients / sizeof *quotients)

static volatile u64 ticks;

static void on_trap(struct frame *f)
{
    if (f->scause != (INTR | IRQ_S_TIMER))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    sbi_set_timer(-1ul);
    ticks++;
}

static void divide(u64 a, u64 b)
{
    asm volatile("fmv.d.x ft0, %0\n"
                 "fmv.d.x ft1, %1\n"
                 "fdiv.d ft0, ft0, ft1\n"
                 :
                 : "r"(a), "r"(b)
                 : "ft0", "ft1", "memory");
}

/* As long asleep as at work. */
static void pass_time(void)
{
    u64 before = ticks;

    sbi_set_timer(rdtime() + TIMEBASE / 10000);
    while (ticks == before) {
        wfi();
        csr_set(sstatus, SSTATUS_SIE);
        csr_clear(sstatus, SSTATUS_SIE);
    }
    for (volatile int n = 0; n < 1000; n++)
        ;
}

static void check(u64 expected, const char *when)
{
    u64 fcsr = csr_read(fcsr);

    if (fcsr != expected)
        fail("fcsr is %x, not %x, %s", fcsr, expected, when);
}

void guest_main(void)
{
    trap_handler = on_trap;
    csr_set(sie, 1 << IRQ_S_TIMER);
    csr_set(sstatus, SSTATUS_FS);
    for (u64 i = 0; i < ROUNDS; i++) {
        u64 mode = i % 5 << 5, flags = quotients[i % KINDS].flags;

        csr_write(fcsr, mode);
        divide(quotients[i % KINDS].a, quotients[i % KINDS].b);
        check(mode | flags, "at once");
        pass_time();
        check(mode | flags, "later");
        csr_clear(sstatus, SSTATUS_FS);
        pass_time();
        csr_set(sstatus, SSTATUS_FS);
        check(mode | flags, "behind a unit that was off");
    }
    say("%d times raised and kept\n", (u64)ROUNDS);
}
