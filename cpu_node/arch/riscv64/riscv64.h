/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this folder share: reading instructions and registers. */
#ifndef DEJAVM_RISCV64_H
#define DEJAVM_RISCV64_H

#include "../../native/engine.h"

enum { CSR_SATP = 0x180, CSR_CYCLE = 0xc00, CSR_TIME = 0xc01, CSR_INSTRET = 0xc02 };

static inline uint32_t word_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint16_t half_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline unsigned insn_size(const uint8_t *p)
{
    return (p[0] & 3) == 3 ? 4 : 2;
}

static inline uint64_t get(struct engine *e, int reg)
{
    uint64_t value = 0;
    uc_reg_read(e->uc, reg, &value);
    return value;
}

/* blocks.c */
bool riscv_ends_block(const uint8_t *p);
bool riscv_waits(const uint8_t *p);
bool riscv_must_emulate(const uint8_t *p);
unsigned riscv_scan(const uint8_t *p, uint32_t size);
bool riscv_has_cleared(struct engine *e, const uint8_t *p, uint32_t size);
uint64_t riscv_effective_address(struct engine *e, uint32_t i);

#endif
