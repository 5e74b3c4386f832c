/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest code as bytes: reading it, and noticing that it was overwritten.
 *
 * Theory of operation.  The engine notices a store to translated code only through TLB entries that
 * were filled while the page had code; an entry that was written through before keeps its fast path,
 * and a store through it leaves stale translations behind (its dirty tracking is a stub).  A guest may
 * rely on its stores to code only after fence.i.  So at each fence.i:
 *
 *   1. the bytes of every block translated since the last fence.i are compared with memory; a
 *      difference means a stale translation, and the translations of those bytes are dropped;
 *   2. the TLB is flushed, if any block was translated since the last one: from here on every store
 *      to those blocks' pages goes through a new entry, and the engine notices it.
 *
 * A block needs to be compared only once: after the flush its page is watched for as long as it has code.
 */
#include "engine.h"
#include <stdlib.h>
#include <string.h>

struct row {
    uint64_t offset;
    uint32_t size;
    uint32_t padding;
};

static uint8_t *code_at(struct engine *e, uint64_t pc)
{
    uint64_t physical;
    if (uc_vmem_translate(e->uc, pc, UC_PROT_EXEC, &physical) != UC_ERR_OK)
        return NULL;
    if (physical < e->ram_base || physical - e->ram_base >= e->ram_size)
        return NULL;
    return e->ram + (physical - e->ram_base);
}

static uint32_t to_page_end(uint64_t pc, uint32_t size)
{
    uint64_t left = PAGE_SIZE - (pc & (PAGE_SIZE - 1));
    return size < left ? size : (uint32_t)left;
}

/* Guest code at a virtual address; false where there is none in RAM. */
bool read_code(struct engine *e, uint64_t pc, uint8_t *out, uint32_t size)
{
    while (size) {
        uint32_t part = to_page_end(pc, size);
        const uint8_t *from = code_at(e, pc);
        if (!from)
            return false;
        memcpy(out, from, part);
        out += part;
        pc += part;
        size -= part;
    }
    return true;
}

static bool code_room(struct code_log *log, size_t size)
{
    if (log->used + size <= log->capacity)
        return true;
    size_t capacity = (log->capacity + size) * 2;
    uint8_t *bytes = realloc(log->bytes, capacity);
    if (!bytes)
        return false;
    log->bytes = bytes;
    log->capacity = capacity;
    return true;
}

/* Adds a block to the log, and copies its bytes to out unless it is NULL; false if they cannot be read. */
bool code_remember(struct engine *e, uint64_t pc, uint32_t size, uint8_t *out)
{
    struct code_log *log = &e->code;
    bool whole = true;
    while (size) {
        uint32_t part = to_page_end(pc, size);
        const uint8_t *from = code_at(e, pc);
        struct row row = {from ? (uint64_t)(from - e->ram) : 0, part, 0};
        if (from && code_room(log, sizeof row + part)) {
            memcpy(log->bytes + log->used, &row, sizeof row);
            memcpy(log->bytes + log->used + sizeof row, from, part);
            log->used += sizeof row + part;
        }
        if (!from)
            whole = false;
        else if (out)
            memcpy(out, from, part);
        out = out ? out + part : NULL;
        pc += part;
        size -= part;
    }
    return whole;
}

void code_forget(struct engine *e)
{
    e->code.used = 0;
}

static bool is_stale(const struct engine *e, const struct row *row, const uint8_t *translated)
{
    return memcmp(translated, e->ram + row->offset, row->size) != 0;
}

/* From here on every store to the blocks that were translated is noticed. */
static void code_watch(struct engine *e)
{
    uc_ctl_flush_tlb(e->uc);
    e->n_fences++;
    code_forget(e);
}

/* Called after fence.i: whether every block translated since the last one still is what memory holds.  If not,
 * code_drop_stale() must come before anything else runs. */
bool code_unchanged(struct engine *e)
{
    struct code_log *log = &e->code;
    struct row row;
    if (!log->used)
        return true;
    for (size_t at = 0; at < log->used; at += sizeof row + row.size) {
        memcpy(&row, log->bytes + at, sizeof row);
        if (is_stale(e, &row, log->bytes + at + sizeof row))
            return false;
    }
    code_watch(e);
    return true;
}

/* Drop the translations that are not what memory holds; not while translated code runs. */
void code_drop_stale(struct engine *e)
{
    struct code_log *log = &e->code;
    struct row row;
    for (size_t at = 0; at < log->used; at += sizeof row + row.size) {
        memcpy(&row, log->bytes + at, sizeof row);
        if (!is_stale(e, &row, log->bytes + at + sizeof row))
            continue;
        e->arch->drop_code(e, e->ram_base + row.offset, row.size);
        e->n_stale++;
    }
    code_watch(e);
}
