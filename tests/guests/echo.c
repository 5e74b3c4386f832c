/* Purpose: receives by UART interrupt and echoes in upper case, without losing a byte. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

/* Bigger than any paste the tests make, as sending is slower than receiving. */
#define RING (1u << 18)
static volatile u8 ring[RING];
static volatile u32 head, tail;
static volatile u64 irqs, empty_irqs;

static void on_trap(struct frame *f)
{
    u32 irq, any = 0;

    if (f->scause != (INTR | IRQ_S_EXT))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    while ((irq = plic_claim())) {
        if (irq != UART_IRQ)
            fail("irq %d", (u64)irq);
        for (;;) {
            u8 lsr = read8(UART + 5);
            if (lsr & 2)
                fail("receiver overrun");
            if (!(lsr & 1))
                break;
            u8 c = read8(UART);
            if (head - tail == RING)
                fail("ring full");
            ring[head % RING] = c;
            head++;
            any = 1;
        }
        plic_complete(irq);
    }
    irqs++;
    empty_irqs += !any;
}

void guest_main(void)
{
    u64 count = 0, hash = 0xcbf29ce484222325ul; /* FNV-1a */

    trap_handler = on_trap;
    write8(UART + 2, 0x01); /* FIFO on, interrupt from the first byte */
    write8(UART + 4, 0x08); /* OUT2: lets the interrupt out on a PC's UART */
    write8(UART + 1, 0x01); /* interrupt on received data only */
    plic_enable(UART_IRQ);
    say("READY\n");

    for (;;) {
        /* With interrupts off: a byte that comes after the look at the
           ring still ends the wfi. */
        csr_clear(sstatus, SSTATUS_SIE);
        if (head == tail)
            wfi();
        csr_set(sstatus, SSTATUS_SIE);

        while (tail != head) {
            u8 c = ring[tail % RING];
            tail++;
            if (c == 4) {
                say("\ncount %d fnv1a %x\n", count, hash);
                if (!irqs || irqs == empty_irqs)
                    fail("no interrupt brought data");
                return;
            }
            count++;
            hash = (hash ^ c) * 0x100000001b3ul;
            uart_putc(c >= 'a' && c <= 'z' ? c - 32 : c);
        }
    }
}
