/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counting retired instructions at block speed.
 *
 * The translator says how many instructions a block has when it translates it; the block hook says
 * which block is about to run.  A table joins the two.  (pc, size) does not name a block uniquely:
 * two address spaces can hold different code at one address.  Such pairs are decoded each time.
 */
#include "engine.h"
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY (1u << 17)

static inline size_t hash_of(uint64_t pc, uint32_t size)
{
    uint64_t h = (pc >> 1) * 0x9e3779b97f4a7c15ull;
    return (size_t)(h >> 29) ^ size;
}

static inline struct block *front_of(struct engine *e, uint64_t pc)
{
    return &e->table.front[(pc >> 1) & (FRONT_ENTRIES - 1)];
}

int table_init(struct engine *e)
{
    e->table.capacity = FIRST_CAPACITY;
    e->table.used = 0;
    e->table.rows = calloc(FIRST_CAPACITY, sizeof(struct block_row));
    e->table.front = aligned_alloc(CACHE_LINE, FRONT_ENTRIES * sizeof *e->table.front);
    if (!e->table.rows || !e->table.front)
        return -1;
    memset(e->table.front, 0, FRONT_ENTRIES * sizeof *e->table.front);
    return 0;
}

void table_free(struct engine *e)
{
    free(e->table.rows);
    free(e->table.front);
    e->table.rows = NULL;
    e->table.front = NULL;
}

static struct block_row *table_slot(struct block_row *rows, size_t capacity, uint64_t pc, uint32_t size)
{
    size_t i = hash_of(pc, size) & (capacity - 1);
    while (rows[i].block.size && (rows[i].block.pc != pc || rows[i].block.size != size))
        i = (i + 1) & (capacity - 1);
    return &rows[i];
}

static void table_grow(struct engine *e)
{
    size_t capacity = e->table.capacity * 2;
    struct block_row *rows = calloc(capacity, sizeof *rows);
    if (!rows)
        Py_FatalError("out of memory for the block table");
    for (size_t i = 0; i < e->table.capacity; i++) {
        struct block_row *row = &e->table.rows[i];
        if (row->block.size)
            *table_slot(rows, capacity, row->block.pc, row->block.size) = *row;
    }
    free(e->table.rows);
    e->table.rows = rows;
    e->table.capacity = capacity;
}

/* What was translated replaces what the table says when it comes from the same place in memory: that
 * code was overwritten.  From another place both may be run again without another translation. */
static void table_put(struct engine *e, const struct block *found, uint64_t physical)
{
    struct block_row *row = table_slot(e->table.rows, e->table.capacity, found->pc, found->size);
    struct block *known = &row->block;
    if (!known->size) {
        *row = (struct block_row){*found, physical};
        if (++e->table.used * 2 > e->table.capacity)
            table_grow(e);
        return;
    }
    front_of(e, found->pc)->size = 0;
    if (row->physical != physical)
        known->flags |= BLOCK_SHARED;
    if (known->flags & BLOCK_SHARED) {
        if (known->insns != found->insns)
            known->flags |= BLOCK_AMBIGUOUS;
        known->flags |= found->flags;
    } else {
        known->insns = found->insns;
        known->flags = found->flags;
    }
    row->physical = physical;
}

/* Instructions in a row of bytes. */
static unsigned count_bytes(struct engine *e, const uint8_t *p, uint32_t size)
{
    unsigned insns = 0;
    for (uint32_t at = 0; at < size; insns++)
        at += e->arch->insn_size(p + at);
    return insns;
}

/* Instructions from one address up to another inside one block. */
unsigned count_between(struct engine *e, uint64_t from, uint64_t to)
{
    uint8_t code[MAX_BLOCK_BYTES + 4];
    uint64_t size = to - from;
    if (size == 0 || size > MAX_BLOCK_BYTES || !read_code(e, from, code, (uint32_t)size))
        return 0;
    return count_bytes(e, code, (uint32_t)size);
}

void on_translated(uc_engine *uc, uc_tb *cur, uc_tb *prev, void *user)
{
    struct engine *e = user;
    uint8_t code[MAX_BLOCK_BYTES + 4];
    struct block found = {cur->pc, {{cur->size, cur->icount, 0}}};
    e->n_translated++;
    (void)uc;
    (void)prev;
    uint64_t physical = code_remember(e, cur->pc, cur->size);
    if (e->partial)
        return; /* cut short at the address to stop at */
    if (cur->size == 0 || cur->size > MAX_BLOCK_BYTES)
        return;
    if (read_code(e, cur->pc, code, cur->size))
        found.flags = (uint16_t)e->arch->scan(code, cur->size);
    table_put(e, &found, physical);
}

/* The block's row when the front table does not know it. */
static struct block look_up(struct engine *e, uint64_t pc, uint32_t size)
{
    const struct block *known = &table_slot(e->table.rows, e->table.capacity, pc, size)->block;
    if (known->size && !(known->flags & BLOCK_AMBIGUOUS)) {
        struct block *front = front_of(e, pc);
        *front = *known;
        front->flags &= BLOCK_SPECIAL;
        return *front;
    }
    /* Ambiguous, or the very first block, for which the translator's hook does not fire. */
    uint8_t code[MAX_BLOCK_BYTES + 4];
    struct block found = {pc, {{size, 0, 0}}};
    e->n_decoded++;
    if (size <= MAX_BLOCK_BYTES && read_code(e, pc, code, size)) {
        found.insns = (uint16_t)count_bytes(e, code, size);
        found.flags = (uint16_t)e->arch->scan(code, size);
    }
    return found;
}

/* The block before this one may have cleared an accessed or dirty bit: no TLB entry may outlive it. */
static void after_clearing(struct engine *e)
{
    uint8_t code[MAX_BLOCK_BYTES + 4];
    e->block.flags &= (uint16_t)~BLOCK_CLEARS;
    if (e->block.size <= MAX_BLOCK_BYTES && read_code(e, e->block.pc, code, e->block.size) &&
        !e->arch->has_cleared(e, code, e->block.size))
        return;
    uc_ctl_flush_tlb(e->uc);
    e->n_clears++;
}

/* Whether what the blocks before and after this boundary hold wants a stop. */
static bool special(struct engine *e, unsigned next_flags)
{
    if (e->block.flags & BLOCK_CLEARS)
        after_clearing(e);
    if (e->block.flags & BLOCK_FENCE_I) {
        if (!code_unchanged(e)) {
            request_stop(e, STOP_FLUSH);
            return true;
        }
        e->block.flags &= (uint16_t)~BLOCK_FENCE_I;
    }
    if (next_flags & BLOCK_EMULATE) {
        request_stop(e, STOP_EMULATE);
        return true;
    }
    return false;
}

/* Everything but the common case: something is due, special, or not in the front table. */
static __attribute__((noinline)) void on_block_slowly(struct engine *e, uint64_t pc, uint32_t size)
{
    bool near = e->icount >= e->check_at;
    if (near && slow_path(e, pc, size))
        return;
    struct block found = *front_of(e, pc);
    if (found.pc != pc || found.size != size)
        found = look_up(e, pc, size);
    if ((found.flags | e->block.flags) && special(e, found.flags))
        return;
    if (near && e->target - e->icount < found.insns) {
        request_stop(e, STOP_EXACT);
        return;
    }
    e->block = found;
    e->mark = (struct mark){0};
    e->icount += found.insns;
}

/* Runs before every block, hundreds of millions of times in a boot: no calls, no saved registers. */
void on_block(uc_engine *uc, uint64_t pc, uint32_t size, void *user)
{
    struct engine *e = user;
    const struct block *front = front_of(e, pc);
    uint64_t word = front->word;
    (void)uc;
    if (__builtin_expect(e->icount < e->check_at && front->pc == pc && WORD_SIZE(word) == size &&
                             !WORD_FLAGS(word | e->block.word), 1)) {
        e->block.pc = pc;
        e->block.word = word;
        e->mark = (struct mark){0};
        e->icount += WORD_INSNS(word);
        return;
    }
    on_block_slowly(e, pc, size);
}
