/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counting retired instructions at block speed.
 *
 * The translator says how many instructions a block has after it has translated it; the block hook says
 * which block is about to run.  (pc, size) does not name a block: two address spaces can hold different
 * code at one address.  So each translation hands its own row to the hook: the translator puts the hook's
 * user data into the code as it is at that moment (measured on Unicorn 2.1.4), and after each translation
 * the hook gets the next row for its user data.  A row that is not the block's is noticed by its pc and
 * size, and the block decoded.  That is so for the first one ever, of which the translator does not tell: its row is
 * filled in then, since who starts at a snapshot in a loop would decode it a million times; and for what is
 * translated when there are no more rows.
 */
#include "engine.h"
#include <string.h>
#include <sys/mman.h>

/* Where a hook keeps its callback and, behind it, its user data: its handle is its address.  This cannot be
 * asked for; counting_setup() makes sure of it. */
#define HOOK_CALLBACK 40

/* The row that the next translation hands over. */
static void translations_next(struct engine *e, size_t number)
{
    struct translation *row = &e->translations.rows[number];
    *row = (struct translation){.engine = e};
    e->translations.used = number;
    *e->translations.next = row;
}

/* The row that is next is that of the block, which the translator has not told of. */
static void translations_fill(struct engine *e, const struct block *found)
{
    code_remember(e, found->pc, found->size, NULL);
    e->translations.rows[e->translations.used].block = *found;
    translations_next(e, e->translations.used + 1);
}

/* No translation is left: their rows can be used again. */
void translations_forget(struct engine *e)
{
    translations_next(e, 0);
}

/* Whether they should be dropped when the engine stops, which is often. */
bool translations_are_many(const struct engine *e)
{
    return e->translations.used >= e->most_translations - e->most_translations / 8;
}

/* -1 if the engine does not keep its hooks as it should. */
int counting_setup(struct engine *e)
{
    uc_hook block, edge;
    void *row, *found[2];
    size_t bytes = (TRANSLATIONS + 1) * sizeof(struct translation);
    /* Zero, and not there before it is used. */
    e->translations.rows = row = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (row == MAP_FAILED) {
        e->translations.rows = NULL;
        return -1;
    }
    if (uc_hook_add(e->uc, &block, UC_HOOK_BLOCK, (void *)on_block, row, 1, 0) != UC_ERR_OK ||
        uc_hook_add(e->uc, &edge, UC_HOOK_EDGE_GENERATED, (void *)on_translated, e, 1, 0) != UC_ERR_OK)
        return -1;
    memcpy(found, (char *)block + HOOK_CALLBACK, sizeof found);
    if (found[0] != (void *)on_block || found[1] != row)
        return -1;
    e->most_translations = TRANSLATIONS;
    e->translations.next = (struct translation **)((char *)block + HOOK_CALLBACK + sizeof found[0]);
    translations_next(e, 0);
    return 0;
}

void counting_teardown(struct engine *e)
{
    if (e->translations.rows)
        munmap(e->translations.rows, (TRANSLATIONS + 1) * sizeof(struct translation));
    e->translations.rows = NULL;
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

/* What can be said of a block by its bytes; nothing, if they cannot be read. */
static struct block decode(struct engine *e, uint64_t pc, uint32_t size)
{
    uint8_t code[MAX_BLOCK_BYTES + 4];
    struct block found = {pc, {{size, 0, 0}}};
    e->n_decoded++;
    if (e->cover)
        cover_block(e, pc, size);
    if (size <= MAX_BLOCK_BYTES && read_code(e, pc, code, size)) {
        found.insns = (uint16_t)count_bytes(e, code, size);
        found.flags = (uint16_t)e->arch->scan(code, size);
    }
    if (points_touch(e, pc, size))
        found.flags |= BLOCK_BREAK;
    return found;
}

void on_translated(uc_engine *uc, uc_tb *cur, uc_tb *prev, void *user)
{
    struct engine *e = user;
    struct translation *row = &e->translations.rows[e->translations.used];
    uint8_t code[MAX_BLOCK_BYTES + 4];
    struct block found = {cur->pc, {{cur->size, cur->icount, 0}}};
    bool fits = cur->size <= MAX_BLOCK_BYTES;
    e->n_translated++;
    if (e->cover)
        cover_block(e, cur->pc, cur->size);
    (void)uc;
    (void)prev;
    if (code_remember(e, cur->pc, cur->size, fits ? code : NULL) && fits)
        found.flags = (uint16_t)e->arch->scan(code, cur->size);
    if (points_touch(e, cur->pc, cur->size))
        found.flags |= BLOCK_BREAK;
    if (e->translations.used >= e->most_translations)
        return;
    if (fits && !e->partial) /* else cut short at the address to stop at */
        row->block = found;
    translations_next(e, e->translations.used + 1);
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
static bool special(struct engine *e, const struct block *next)
{
    if (e->block.flags & BLOCK_CLEARS)
        after_clearing(e);
    if (e->block.flags & BLOCK_FENCE_I) {
        if (!code_unchanged(e)) {
            request_stop(e, STOP_STALE);
            return true;
        }
        e->block.flags &= (uint16_t)~BLOCK_FENCE_I;
    }
    if (e->points.met) {
        request_stop(e, STOP_DEVICE);
        return true;
    }
    if (points_placed(e, next->pc)) {
        request_stop(e, STOP_PLACE);
        return true;
    }
    if (points_stepped(e, next->pc)) {
        request_stop(e, STOP_STEP);
        return true;
    }
    if ((next->flags & BLOCK_BREAK) && points_due(e, next->pc, next->size))
        return true;
    /* Running to an exact instruction minds such instructions by itself. */
    if ((next->flags & BLOCK_EMULATE) && e->target - e->icount >= next->insns) {
        request_stop(e, STOP_EMULATE);
        return true;
    }
    return false;
}

/* Everything but the common case: something is due, special, or the row is not the block's.  True: the block does
 * not run now, or only part of it. */
static bool stops_before(const struct translation *row, uint64_t pc, uint32_t size)
{
    struct engine *e = row->engine;
    bool near = e->icount >= e->check_at;
    watches_close(e);
    if (near && slow_path(e, pc, size))
        return true;
    struct block found = row->block;
    if (found.pc != pc || found.size != size) {
        found = decode(e, pc, size);
        if (row == *e->translations.next && e->translations.used < e->most_translations && !e->partial)
            translations_fill(e, &found);
    }
    if (((found.flags | e->block.flags) || points_attentive(e)) && special(e, &found))
        return true;
    found.flags &= (uint16_t)~BLOCK_BREAK;
    if (near && e->target - e->icount < found.insns) {
        request_stop(e, STOP_EXACT);
        return true;
    }
    e->block = found;
    e->mark = (struct mark){0};
    e->icount += found.insns;
    return false;
}

static __attribute__((noinline)) void on_block_slowly(const struct translation *row, uint64_t pc, uint32_t size)
{
    if (stops_before(row, pc, size))
        row->engine->arch->leave(row->engine);
}

/* Runs before every block, hundreds of millions of times in a boot: no calls, no saved registers. */
void on_block(uc_engine *uc, uint64_t pc, uint32_t size, void *user)
{
    const struct translation *row = user;
    struct engine *e = row->engine;
    uint64_t word = row->block.word;
    (void)uc;
    if (__builtin_expect(e->icount < e->check_at && row->block.pc == pc && WORD_SIZE(word) == size &&
                             !WORD_FLAGS(word | e->block.word), 1)) {
        e->block.pc = pc;
        e->block.word = word;
        e->mark = (struct mark){0};
        e->icount += WORD_INSNS(word);
        return;
    }
    on_block_slowly(row, pc, size);
}
