/* Purpose: counts in atomic steps whose load and store have branches between them; every reservation must hold. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

#define ROUNDS 20000

static u64 word;

/* Add to the word; how often the store did not find its reservation. */
static u64 add(u64 value, u64 spin)
{
    u64 old, failed, n, again = 0;
    for (;;) {
        asm volatile("lr.d %0, (%4)\n"
                     "   mv %2, %3\n"
                     "1: beqz %2, 2f\n"
                     "   addi %2, %2, -1\n"
                     "   j 1b\n"
                     "2: add %0, %0, %5\n"
                     "   sc.d %1, %0, (%4)\n"
                     : "=&r"(old), "=&r"(failed), "=&r"(n)
                     : "r"(spin), "r"(&word), "r"(value)
                     : "memory");
        if (!failed)
            return again;
        again++;
    }
}

void guest_main(void)
{
    u64 again = 0, sum = 0;

    for (u64 i = 0; i < ROUNDS; i++) {
        again += add(i, i % 13);
        sum += i;
    }
    if (word != sum)
        fail("counted %x, not %x", word, sum);
    say("again %d\n", again);
}
