/* Purpose: functions that call each other, with symbols and line numbers for a debugger. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

static volatile u64 total;
static volatile double ratio;

static u64 leaf(u64 n)
{
    u64 twice = n * 2;
    total += twice;
    return twice;
}

static u64 middle(u64 n)
{
    u64 a = leaf(n);
    u64 b = leaf(n + 1);
    return a + b;
}

static u64 down(u64 n)
{
    if (n == 0)
        return leaf(1);
    return down(n - 1) + 1;
}

void guest_main(void)
{
    u64 sum = 0;
    csr_set(sstatus, SSTATUS_FS);
    for (u64 i = 1; i <= 3; i++)
        sum += middle(i);
    sum += down(4);
    ratio = (double)sum / 4;
    say("sum %d total %d\n", sum, total);
}
