/* Purpose: never sleeps: says a dot now and then, and what it receives, which it polls for, up to byte 0x04. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define ROUNDS 14000 /* 70,000 instructions between two dots: most of the time one is gathered, since less than 100,000 */

void guest_main(void)
{
    u64 dots = 0, said = 0;

    say("READY\n");
    for (;;) {
        for (u64 i = 0; i < ROUNDS; i++) {
            if (!(read8(UART + 5) & 1))
                continue;
            u8 c = read8(UART);
            if (c == 4) {
                say("\nsaid %d\n", said);
                if (!dots)
                    fail("no time to hum");
                return;
            }
            uart_putc(c);
            said++;
        }
        uart_putc('.');
        dots++;
    }
}
