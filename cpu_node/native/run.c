/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running the engine: sync points, exact stops, and what the engine must be stopped for. */
#include "engine.h"
#include <poll.h>

void request_stop(struct engine *e, enum stop_reason reason)
{
    if (e->stop == STOP_NONE)
        e->stop = reason;
    e->check_at = 0;
    uc_emu_stop(e->uc);
}

/* The current block ends at pc, in its middle: count only what came before. */
void settle_left_block(struct engine *e, uint64_t pc)
{
    if (e->mark.left)
        return;
    if (in_block(e, pc))
        e->icount = block_start(e) + count_between(e, e->block.pc, pc);
    e->mark.left = true;
}

/* Whether the block that is about to run starts at a sync point: the one before it ended because of
 * what its last instruction is, not because the translator had enough of it. */
static bool at_sync_point(struct engine *e)
{
    uint8_t code[MAX_BLOCK_BYTES + 4];
    uint32_t at = 0, last = 0;
    if (e->mark.fresh)
        return true;
    if (e->mark.left || e->block.size == 0 || e->block.size > MAX_BLOCK_BYTES)
        return false;
    if (!read_code(e, e->block.pc, code, e->block.size))
        return false;
    while (at < e->block.size) {
        last = at;
        at += e->arch->insn_size(code + at);
    }
    return e->arch->ends_block(code + last);
}

/* A stop that somebody outside asks for is not granted where run() was entered: an interrupt may have been
 * taken there, and a replay, which knows the instruction count only, would stop before that. */
static bool is_due(const struct engine *e)
{
    return e->icount >= e->deadline || e->icount >= e->posted_at || (e->woken && e->icount > e->entered_at);
}

void update_check(struct engine *e)
{
    uint64_t at = e->deadline < e->posted_at ? e->deadline : e->posted_at;
    if (e->poll_at < at)
        at = e->poll_at;
    if (e->target != NEVER) {
        uint64_t near = e->target > MAX_BLOCK_INSNS ? e->target - MAX_BLOCK_INSNS : 0;
        at = near < at ? near : at;
    }
    if (e->stop != STOP_NONE || e->partial || e->woken || points_attentive(e))
        at = 0;
    if (e->chaos_at < at)
        at = e->chaos_at;
    e->check_at = at;
}

static uint64_t chaos_draw(struct engine *e)
{
    uint64_t x = e->chaos_state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return e->chaos_state = x;
}

/* Whether a perturbation is due that is wanted once in so many instructions (0 never); then the next one's place. */
static bool chaos_due(struct engine *e, uint64_t every, uint64_t *next)
{
    bool due = every && e->icount >= *next;
    if (due)
        *next = e->icount + 1 + chaos_draw(e) % (2 * every - 1);
    if (every && *next < e->chaos_at)
        e->chaos_at = *next;
    return due;
}

/* Perturbations that must not change the run. */
static void chaos(struct engine *e)
{
    e->chaos_at = NEVER;
    if (chaos_due(e, e->chaos_tlb, &e->chaos_tlb_at))
        uc_ctl_flush_tlb(e->uc);
    if (chaos_due(e, e->chaos_stop, &e->chaos_stop_at))
        request_stop(e, STOP_RESTART);
    if (chaos_due(e, e->chaos_tb, &e->chaos_tb_at)) {
        e->stop = STOP_NONE;
        request_stop(e, STOP_FLUSH);
    }
}

static void look_at_wake_fd(struct engine *e)
{
    struct pollfd fd = {e->wake_fd, POLLIN, 0};
    e->poll_at = e->icount + e->poll_every;
    if (e->wake_fd >= 0 && poll(&fd, 1, 0) > 0)
        e->woken = true;
}

/* Part of a block is run on its own; it may still fall into several. */
static void enter_part(struct engine *e, uint64_t pc, uint32_t size)
{
    if (pc != e->block.pc)
        e->icount += count_between(e, e->block.pc, pc);
    e->block = (struct block){pc, {{size, 0, 0}}};
    e->mark.left = false;
}

/* Called before a block when something may be due; true: the block does not run now. */
bool slow_path(struct engine *e, uint64_t pc, uint32_t size)
{
    if (e->stop != STOP_NONE)
        return true; /* a register access has asked for it, in the block before */
    if (e->partial) {
        enter_part(e, pc, size);
        return true;
    }
    if (e->icount >= e->poll_at)
        look_at_wake_fd(e);
    if (is_due(e) && at_sync_point(e)) {
        request_stop(e, STOP_SYNC);
        return true;
    }
    if (e->icount >= e->chaos_at)
        chaos(e);
    update_check(e);
    return e->stop != STOP_NONE;
}

static void drop_translations(struct engine *e, uint64_t pc, uint64_t size)
{
    while (size) {
        uint64_t part = PAGE_SIZE - (pc & (PAGE_SIZE - 1));
        if (part > size)
            part = size;
        uc_ctl_remove_cache(e->uc, pc, pc + part);
        pc += part;
        size -= part;
    }
}

/* Whether the last instruction in front of `to` is one by which the guest waits for an interrupt. */
static bool waits_behind(struct engine *e, uint64_t from, uint64_t to)
{
    uint8_t code[MAX_BLOCK_BYTES + 4];
    uint64_t size = to - from, last = 0;
    if (size == 0 || size > MAX_BLOCK_BYTES || !read_code(e, from, code, (uint32_t)size))
        return false;
    for (uint64_t at = 0; at < size; at += e->arch->insn_size(code + at))
        last = at;
    return e->arch->waits(code + last);
}

/* The address behind that many instructions from an address on. */
static uint64_t behind(struct engine *e, uint64_t pc, uint64_t insns)
{
    uint8_t code[2];
    for (; insns && read_code(e, pc, code, 2); insns--)
        pc += e->arch->insn_size(code);
    return pc;
}

/* The access that was the last to run has been left in its middle. */
static void step_over_access(struct engine *e)
{
    uint8_t code[4];
    uint64_t next = e->pc_at_access;
    if (read_code(e, next, code, 2))
        next += e->arch->insn_size(code);
    uc_reg_write(e->uc, e->arch->reg_pc, &next);
    e->last = false;
}

/* Translated code runs, up to an address at the most. */
static uc_err execute(struct engine *e, uint64_t from, uint64_t until)
{
    uc_err err = uc_emu_start(e->uc, from, until, 0, 0);
    watches_close(e);
    if (e->last)
        step_over_access(e);
    return err;
}

/* Run from a block's start up to an instruction inside it, or to the target if that comes first.  False: something
 * came first: the target, a trap, an error or a wait. */
static bool run_part(struct engine *e, uint64_t from, uint64_t to)
{
    bool whole = e->target - e->icount >= count_between(e, from, to);
    if (!whole)
        to = behind(e, from, e->target - e->icount);
    if (to == from)
        return whole;
    drop_translations(e, from, to - from + 4);
    e->partial = true;
    e->block = (struct block){from, {{(uint32_t)(to - from), 0, 0}}};
    e->mark.left = false;
    update_check(e);
    uc_err err = execute(e, from, to);
    e->partial = false;
    drop_translations(e, from, to - from + 4);
    if (e->stop != STOP_NONE)
        return false;
    if (err != UC_ERR_OK) {
        e->error = err;
        e->stop = STOP_ERROR;
        return false;
    }
    /* The guest may have begun to wait, which is not where the translator ends a block: it stands behind that. */
    uint64_t at = engine_pc(e);
    bool waits = waits_behind(e, e->block.pc, at);
    e->icount += count_between(e, e->block.pc, at);
    e->mark.left = true;
    e->mark.fresh = waits;
    if (waits)
        e->stop = STOP_IDLE;
    return whole && !waits;
}

/* The first instruction from pc on that the engine gets wrong.  False: memory holds none that a block may have. */
static bool find_emulated(struct engine *e, uint64_t *pc, uint8_t code[4])
{
    for (unsigned n = 0; n < MAX_BLOCK_INSNS; n++) {
        if (!read_code(e, *pc, code, 2) || (e->arch->insn_size(code) == 4 && !read_code(e, *pc, code, 4)))
            return false;
        if (e->arch->must_emulate(code))
            return true;
        *pc += e->arch->insn_size(code);
    }
    return false;
}

/* The next block holds an instruction that the engine gets wrong: run up to it and do it by hand. */
static void emulate_in_block(struct engine *e)
{
    uint64_t start = engine_pc(e), pc = start;
    uint8_t code[4];
    if (!find_emulated(e, &pc, code)) {
        e->stop = STOP_FLUSH; /* the guest has written over it, and has not said so */
        return;
    }
    if (pc != start && !run_part(e, start, pc))
        return;
    if (e->icount == e->target)
        return; /* it is the one to stop in front of */
    e->block.size = 0;
    e->mark.left = true;
    e->mark.fresh = false;
    if (e->arch->emulate(e, pc, code)) {
        uint64_t next = pc + e->arch->insn_size(code);
        uc_reg_write(e->uc, e->arch->reg_pc, &next);
        e->icount++;
        e->n_emulated++;
    }
}

/* The target lies inside the next block. */
static void run_to_target(struct engine *e)
{
    uint64_t start = engine_pc(e), pc = start;
    uint8_t code[4];
    for (uint64_t n = e->icount; n < e->target; n++) {
        if (!read_code(e, pc, code, 2))
            return;
        if (e->arch->insn_size(code) == 4 && read_code(e, pc, code, 4) && e->arch->must_emulate(code)) {
            emulate_in_block(e);
            return;
        }
        pc += e->arch->insn_size(code);
    }
    if (pc != start)
        run_part(e, start, pc);
}

void drop_all_translations(struct engine *e)
{
    uc_ctl_flush_tb(e->uc);
    uc_ctl_flush_tlb(e->uc);
    code_forget(e);
    translations_forget(e);
    e->n_flushes++;
}

static bool go_on(struct engine *e, uc_err err);

/* The engine has left at an access that is watched, or may be; false: the caller of run() is told. */
static bool pass_access(struct engine *e)
{
    bool met;
    e->stop = STOP_NONE;
    if (!watches_settle(e, &met))
        return true;
    e->points.passing = true;
    bool passed = run_part(e, e->part_from, e->part_to);
    e->points.passing = false;
    if (passed && met && !e->points.noting) {
        e->stop = STOP_WATCH;
        return false;
    }
    return e->stop == STOP_NONE || go_on(e, UC_ERR_OK);
}

/* What follows from how the engine came back; false: the caller of run() is told. */
static bool go_on(struct engine *e, uc_err err)
{
    switch (e->stop) {
    case STOP_FLUSH:
        drop_all_translations(e);
        return true;
    case STOP_STALE:
        code_drop_stale(e);
        e->block.flags &= (uint16_t)~BLOCK_FENCE_I;
        return true;
    case STOP_RESTART:
    case STOP_TRAPPED:
        return true;
    case STOP_EMULATE:
        e->stop = STOP_NONE;
        emulate_in_block(e);
        return e->stop == STOP_NONE || go_on(e, UC_ERR_OK);
    case STOP_PART:
        e->stop = STOP_NONE;
        run_part(e, e->part_from, e->part_to);
        return e->stop == STOP_NONE || go_on(e, UC_ERR_OK);
    case STOP_TO_BREAK:
        e->stop = STOP_NONE;
        if (run_part(e, e->part_from, e->part_to) && points_reached(e, e->part_to))
            e->stop = STOP_BREAK;
        return e->stop == STOP_NONE || go_on(e, UC_ERR_OK);
    case STOP_WATCH:
        return pass_access(e);
    case STOP_EXACT:
        e->stop = STOP_NONE;
        run_to_target(e);
        return e->stop == STOP_NONE || go_on(e, UC_ERR_OK);
    case STOP_FAULT:
        settle_left_block(e, e->pc_at_access);
        e->stop = STOP_NONE;
        e->arch->access_fault(e, e->pc_at_access, e->fault_write, e->fault_fetch);
        return e->stop == STOP_NONE || go_on(e, UC_ERR_OK);
    case STOP_NONE:
        /* After a breakpoint instruction the engine keeps its error although the hook took it. */
        if (e->broke && e->mark.fresh)
            return true;
        if (err == UC_ERR_OK || e->broke) {
            /* The translator does not end a block at wfi: what is behind it has not run. */
            settle_left_block(e, engine_pc(e));
            e->mark.fresh = true;
            e->stop = STOP_IDLE;
            return false;
        }
        e->error = err;
        e->stop = STOP_ERROR;
        return false;
    default:
        return false;
    }
}

enum stop_reason engine_run(struct engine *e)
{
    e->entered_at = e->icount;
    for (;;) {
        e->stop = STOP_NONE;
        e->broke = false;
        update_check(e);
        if (e->icount == e->target)
            return e->stop = STOP_EXACT;
        if (points_placed(e, engine_pc(e)))
            return e->stop = STOP_PLACE;
        if (points_stepped(e, engine_pc(e)))
            return e->stop = STOP_STEP;
        if (translations_are_many(e))
            drop_all_translations(e);
        uc_err err = execute(e, engine_pc(e), NO_UNTIL);
        e->n_stops++;
        if (!go_on(e, err))
            return e->stop;
    }
}
