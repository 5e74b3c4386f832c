/* Purpose: says 20,000 numbered lines of 50 characters, more than any socket keeps. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rt.h"

void guest_main(void)
{
    for (u64 i = 10000; i < 30000; i++)
        say("line %d %s\n", i, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL");
}
