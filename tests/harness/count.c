/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts what the engine does instruction by instruction, as the reference for the native counter. */
#include <stdint.h>

struct counts {
    uint64_t started;       /* instructions the engine began */
    uint64_t illegal_traps; /* illegal instructions behind which the guest did not just go on */
    uint64_t last_pc;
    uint64_t was_illegal;
    uint64_t causes[32];
};

void count_instruction(void *uc, uint64_t pc, uint32_t size, void *user)
{
    struct counts *c = user;
    (void)uc;
    (void)size;
    c->illegal_traps += c->was_illegal && pc != c->last_pc + 4;
    c->was_illegal = 0;
    c->started++;
    c->last_pc = pc;
}

void count_exception(void *uc, uint32_t cause, void *user)
{
    struct counts *c = user;
    (void)uc;
    c->was_illegal = cause == 2;
    c->causes[cause & 31]++;
}
