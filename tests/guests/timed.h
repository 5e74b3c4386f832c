/* Purpose: a call whose instructions are counted. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TIMED_H
#define TIMED_H

#include "rt.h"

struct result {
    u64 a0, delta;
};

/* Calls an address with instret read before and after: two and what is executed there between. */
struct result timed_call(u64 va, u64 x);
asm(".text\n.balign 4\n"
    "timed_call: mv t6, ra\n"
    " mv t5, a0\n"
    " mv a0, a1\n"
    " rdinstret t4\n"
    " jalr t5\n"
    " rdinstret t3\n"
    " sub a1, t3, t4\n"
    " jr t6\n");

#endif
