/* Purpose: restarts when it is told to, three ways, and notices what a restart has left behind. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define TEST_DEVICE 0x100000
#define SRST 0x53525354
#define COLD 1
#define WARM 2
#define FAR ((volatile u64 *)0x81000000) /* no byte of this is in the image */

static volatile u64 image = 77;
static volatile u32 byte, any;

static void on_trap(struct frame *f)
{
    u32 irq;

    if (f->scause != (INTR | IRQ_S_EXT))
        fail("trap scause %x sepc %x stval %x", f->scause, f->sepc, f->stval);
    while ((irq = plic_claim())) {
        if (read8(UART + 5) & 1) {
            byte = read8(UART);
            any = 1;
        }
        plic_complete(irq);
    }
}

void guest_main(void)
{
    if (read8(UART + 1))
        fail("the line has interrupts enabled: %x", read8(UART + 1));
    if (*FAR || image != 77)
        fail("memory is as it was: %x, %d", *FAR, image);
    *FAR = 0x5a5a;
    image = 78;
    trap_handler = on_trap;
    write8(UART + 2, 0x01);
    write8(UART + 1, 0x01);
    plic_enable(UART_IRQ);
    /* A timer that nobody hears of again, if all is well. */
    sbi_set_timer(rdtime() + TIMEBASE / 1000);
    say("UP\n");
    for (;;) {
        csr_clear(sstatus, SSTATUS_SIE);
        if (!any)
            wfi();
        csr_set(sstatus, SSTATUS_SIE);
        if (!any)
            continue;
        any = 0;
        switch (byte) {
        case 'c':
            sbi(SRST, 0, COLD, 0, 0);
            break;
        case 'w':
            sbi(SRST, 0, WARM, 0, 0);
            break;
        case 't':
            *(volatile u32 *)TEST_DEVICE = 0x7777;
            break;
        case 'q':
            return;
        default:
            uart_putc(byte);
        }
    }
}
