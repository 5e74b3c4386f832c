/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts what a reference needs: every instruction the engine starts, and those it starts that read cycle or instret. */
#include <stdint.h>

struct counts {
    uint64_t started;
    uint64_t same_again;
    uint64_t causes[32];
    uint64_t last_pc;
};

void count_instruction(void *uc, uint64_t pc, uint32_t size, void *user)
{
    struct counts *c = user;
    (void)uc;
    (void)size;
    c->started++;
    c->same_again += pc == c->last_pc;
    c->last_pc = pc;
}

void count_trap(void *uc, uint32_t cause, void *user)
{
    struct counts *c = user;
    (void)uc;
    c->causes[cause & 31]++;
}
