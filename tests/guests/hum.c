/* Purpose: never sleeps: says a dot now and then, and what it receives, which it polls for, up to byte 0x04. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define ROUNDS 100 /* between two dots: nearly always some are gathered, for 100,000 instructions at most */

void guest_main(void)
{
    u64 dots = 0, said = 0;

    say("READY\n");
    for (;;) {
        for (u64 i = 0; i < ROUNDS; i++) {
            rdtime(); /* emulated: the time for so many instructions is longer than for a word with a device */
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
