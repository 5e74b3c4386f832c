/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What RISC-V instructions do, as far as their bytes tell: how a block ends, what is special in it, what it
 * writes, which address it refers to.
 *
 * Source: The RISC-V Instruction Set Manual, Volume I (20191213), chapters 16 and 24.
 */
#include "riscv64.h"

/* Compressed: c.j, c.beqz, c.bnez; c.jr, c.jalr, c.ebreak. */
static bool compressed_ends_block(uint16_t i)
{
    unsigned quadrant = i & 3, funct3 = i >> 13;
    if (quadrant == 1)
        return funct3 == 5 || funct3 == 6 || funct3 == 7;
    return quadrant == 2 && funct3 == 4 && ((i >> 2) & 31) == 0;
}

bool riscv_ends_block(const uint8_t *p)
{
    if (insn_size(p) == 2)
        return compressed_ends_block(half_at(p));
    switch (p[0] & 0x7f) {
    case 0x63: /* branch */
    case 0x67: /* jalr */
    case 0x6f: /* jal */
    case 0x73: /* system: ecall, sret, wfi, sfence.vma, CSR */
        return true;
    case 0x0f: /* fence.i, not fence */
        return ((word_at(p) >> 12) & 7) == 1;
    default:
        return false;
    }
}

/* wfi; wherever it is illegal a trap comes first. */
bool riscv_waits(const uint8_t *p)
{
    return word_at(p) == 0x10500073;
}

/* rdcycle and rdinstret: the engine answers them from the host's time stamp counter. */
bool riscv_must_emulate(const uint8_t *p)
{
    uint32_t i = word_at(p);
    unsigned csr = i >> 20, funct3 = (i >> 12) & 7;
    return (i & 0x7f) == 0x73 && (funct3 & 3) && (csr == CSR_CYCLE || csr == CSR_INSTRET);
}

/* amoand.d, in Linux test_and_clear_bit(): what takes the accessed (6) or dirty (7) bit out of a page-table
 * entry without a fence. */
#define ACCESSED_OR_DIRTY 0xc0

static bool is_amoand(uint32_t i)
{
    return (i & 0x7f) == 0x2f && ((i >> 12) & 7) == 3 && i >> 27 == 0x0c;
}

/* li rd, imm as addi rd, x0, imm: where the mask of an amoand comes from, if it is a constant. */
static bool is_load_immediate(uint32_t i)
{
    return (i & 0x7f) == 0x13 && ((i >> 12) & 7) == 0 && ((i >> 15) & 31) == 0;
}

/* sret, sfence.vma, and what writes to satp. */
static bool leaves(uint32_t i)
{
    return i == 0x10200073 || (i & 0xfe007fff) == 0x12000073 ||
           ((i & 0x7f) == 0x73 && ((i >> 12) & 3) && i >> 20 == CSR_SATP);
}

unsigned riscv_scan(const uint8_t *p, uint32_t size)
{
    unsigned flags = 0;
    for (uint32_t at = 0; at < size; at += insn_size(p + at)) {
        if (insn_size(p + at) == 2 || at + 4 > size)
            continue;
        uint32_t i = word_at(p + at);
        if (riscv_must_emulate(p + at))
            flags |= BLOCK_EMULATE;
        if ((i & 0x7f) == 0x0f && ((i >> 12) & 7) == 1)
            flags |= BLOCK_FENCE_I;
        if (is_amoand(i))
            flags |= BLOCK_CLEARS;
        if (leaves(i))
            flags |= BLOCK_LEAVES;
    }
    return flags;
}

static uint32_t compressed_writes(uint16_t i)
{
    unsigned funct3 = i >> 13;
    uint32_t rd = 1u << ((i >> 7) & 31), low = 1u << (8 + ((i >> 2) & 7)), high = 1u << (8 + ((i >> 7) & 7));
    switch (i & 3) {
    case 0: /* c.addi4spn, loads; then stores */
        return funct3 < 4 ? low : 0;
    case 1: /* arithmetic; c.j and branches */
        return funct3 < 4 ? rd : funct3 == 4 ? high : 0;
    default: /* c.slli, loads; c.mv, c.add, c.jalr; stores */
        return funct3 < 4 ? rd : funct3 == 4 ? rd | 2 : 0;
    }
}

/* General registers an instruction may write, floating-point ones counted with them. */
static uint32_t written_by(const uint8_t *p)
{
    if (insn_size(p) == 2)
        return compressed_writes(half_at(p));
    uint32_t i = word_at(p);
    switch (i & 0x7f) {
    case 0x23: /* store */
    case 0x27:
    case 0x63: /* branch */
    case 0x0f: /* fence */
        return 0;
    default:
        return 1u << ((i >> 7) & 31);
    }
}

/* What is known of one amoand after its block has run. */
struct clearing {
    uint32_t insn;
    uint32_t written_since; /* registers, by what follows it */
    bool constant;
    int64_t mask;
};

static bool reads_word(struct engine *e, uint64_t address, uint64_t *word)
{
    return uc_vmem_read(e->uc, address, UC_PROT_READ, word, sizeof *word) == UC_ERR_OK;
}

/* Whether it can have taken the bits out.  Its mask tells, if it was a constant or is still in its register;
 * else the old value in rd and the new one in memory, if rd and the address are still there. */
static bool can_have_cleared(struct engine *e, const struct clearing *c)
{
    unsigned rd = (c->insn >> 7) & 31, address = (c->insn >> 15) & 31, mask = (c->insn >> 20) & 31;
    uint32_t later = c->written_since, own = rd ? 1u << rd : 0;
    uint64_t now;
    if (c->constant)
        return ~(uint64_t)c->mask & ACCESSED_OR_DIRTY;
    if (!((later | own) >> mask & 1))
        return ~get(e, UC_RISCV_REG_X0 + (int)mask) & ACCESSED_OR_DIRTY;
    if (rd && rd != address && !(later >> rd & 1) && !(later >> address & 1) &&
        reads_word(e, get(e, UC_RISCV_REG_X0 + (int)address), &now))
        return get(e, UC_RISCV_REG_X0 + (int)rd) & ~now & ACCESSED_OR_DIRTY;
    return true;
}

bool riscv_has_cleared(struct engine *e, const uint8_t *p, uint32_t size)
{
    uint32_t constants = 0;
    int64_t constant[32] = {0};
    for (uint32_t at = 0; at < size; at += insn_size(p + at)) {
        uint32_t i = insn_size(p + at) == 4 ? word_at(p + at) : 0;
        if (i && is_amoand(i)) {
            unsigned source = (i >> 20) & 31;
            struct clearing c = {i, 0, constants >> source & 1, constant[source]};
            for (uint32_t later = at + 4; later < size; later += insn_size(p + later))
                c.written_since |= written_by(p + later);
            if (can_have_cleared(e, &c))
                return true;
        }
        constants &= ~written_by(p + at);
        if (i && is_load_immediate(i)) {
            constants |= 1u << ((i >> 7) & 31);
            constant[(i >> 7) & 31] = (int32_t)i >> 20;
        }
    }
    return false;
}

static int64_t sign_extend(uint32_t value, unsigned bits)
{
    return (int64_t)((uint64_t)value << (64 - bits)) >> (64 - bits);
}

/* The address a load, store or atomic at pc refers to. */
uint64_t riscv_effective_address(struct engine *e, uint32_t i)
{
    unsigned base = (i >> 15) & 31;
    int64_t offset = 0;
    if ((i & 3) != 3) {
        unsigned quadrant = i & 3, funct3 = i >> 13;
        bool eight = funct3 == 1 || funct3 == 3 || funct3 == 5 || funct3 == 7;
        if (quadrant == 0) {
            base = 8 + ((i >> 7) & 7);
            offset = (i >> 10 & 7) << 3;
            offset |= eight ? (i >> 5 & 3) << 6 : ((i >> 6 & 1) << 2 | (i >> 5 & 1) << 6);
        } else {
            base = 2;
            if (funct3 < 4) /* loads from the stack */
                offset = (i >> 12 & 1) << 5 | (eight ? ((i >> 5 & 3) << 3 | (i >> 2 & 7) << 6)
                                                     : ((i >> 4 & 7) << 2 | (i >> 2 & 3) << 6));
            else
                offset = eight ? ((i >> 10 & 7) << 3 | (i >> 7 & 7) << 6)
                               : ((i >> 9 & 15) << 2 | (i >> 7 & 3) << 6);
        }
    } else if ((i & 0x7f) == 0x03 || (i & 0x7f) == 0x07) {
        offset = sign_extend(i >> 20, 12);
    } else if ((i & 0x7f) == 0x23 || (i & 0x7f) == 0x27) {
        offset = sign_extend((i >> 25) << 5 | (i >> 7 & 31), 12);
    }
    return (base ? get(e, UC_RISCV_REG_X0 + (int)base) : 0) + (uint64_t)offset;
}
