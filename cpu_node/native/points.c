/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Breakpoints, watchpoints and single steps, without a byte of the guest's changed.
 *
 * Theory of operation.  A breakpoint is a flag of the translations that hold its address: a block without one
 * runs as ever, and one with it is run exactly up to it.  A watchpoint is a hook on loads and stores of a range
 * of physical memory, so a store through any virtual address counts; it is translated in while there are
 * watchpoints, and only then.  The hook comes before the access and leaves translated code at once; then the
 * instruction is done on its own, with the hook passing, and the machine stands behind it.  Behind the access it would
 * be too late: an atomic instruction has its register to write then.
 *
 * In such a hook nothing may be looked up by a virtual address.  The engine has found the TLB's entry for the access
 * and uses it behind the hook; to look up another page may put that one's in its place, and the access goes somewhere
 * else (Unicorn 2.1.4, store_helper in cputlb.c).  So instructions up to the access are counted later; and where the
 * code could not be read any more then, what is only noted is done on its own, too.
 *
 * Where a stop must be `exact` there is a hook in front of each instruction too, to stop behind what a device has
 * written while it was asked.
 *
 * Nothing that is met changes what the guest does: a stop is one of those that the tests make for nothing.
 */
#include "engine.h"
#include <string.h>

#define ACCESS_BYTES 16u /* more than an instruction reaches */

static bool is_break(const struct engine *e, uint64_t pc)
{
    for (int i = 0; i < e->points.break_count; i++)
        if (e->points.breaks[i] == pc)
            return true;
    return false;
}

/* Whether a block may hold a breakpoint. */
bool points_touch(const struct engine *e, uint64_t pc, uint32_t size)
{
    for (int i = 0; i < e->points.break_count; i++)
        if (e->points.breaks[i] - pc < size)
            return true;
    return false;
}

static bool is_here(const struct engine *e, uint64_t icount, uint64_t pc)
{
    return e->points.here_icount == icount && e->points.here_pc == pc;
}

/* Whether each block is to be looked at. */
bool points_attentive(const struct engine *e)
{
    return e->points.stepping || e->points.met || e->points.open || e->place != NEVER;
}

/* A step is over where something is about to run that is not what it began with. */
bool points_stepped(struct engine *e, uint64_t pc)
{
    return e->points.stepping && !is_here(e, e->icount, pc);
}

/* No instruction retires on the way to the place, so it is where a block begins. */
bool points_placed(const struct engine *e, uint64_t pc)
{
    return e->place == pc;
}

/* The breakpoint at pc, where the engine stands, is met; whether that is a reason to stop. */
static bool meet_break(struct engine *e, uint64_t pc)
{
    e->points.hit = (struct hit){HIT_BREAK, e->icount, pc, pc, 0};
    if (!e->points.noting)
        return true;
    e->points.here_icount = e->icount;
    e->points.here_pc = pc;
    return false;
}

/* Called before a block that is flagged; true: it does not run now. */
bool points_due(struct engine *e, uint64_t pc, uint32_t size)
{
    uint8_t code[MAX_BLOCK_BYTES + 4];
    uint64_t icount = e->icount;
    if (size > MAX_BLOCK_BYTES || !read_code(e, pc, code, size))
        return false;
    for (uint32_t at = 0; at < size && icount < e->target; icount++) {
        if (is_break(e, pc + at) && !is_here(e, icount, pc + at)) {
            if (at) {
                e->part_from = pc;
                e->part_to = pc + at;
                request_stop(e, STOP_TO_BREAK);
                return true;
            }
            if (meet_break(e, pc)) {
                request_stop(e, STOP_BREAK);
                return true;
            }
        }
        unsigned bytes = e->arch->insn_size(code + at);
        if (bytes == 4 && e->arch->must_emulate(code + at))
            return false; /* what is behind it comes as a block of its own */
        at += bytes;
    }
    return false;
}

/* The part of a block up to a breakpoint has run; whether that is a reason to stop. */
bool points_reached(struct engine *e, uint64_t pc)
{
    return meet_break(e, pc);
}

/* The instruction at pc, which has not retired, reaches what is watched. */
static void meet_access(struct engine *e, unsigned kind, uint64_t pc, uint64_t address, uint32_t size)
{
    bool inside = !e->mark.left && in_block(e, pc);
    e->points.hit = (struct hit){kind, inside ? block_start(e) : e->icount, pc, address, size};
    e->points.hit_from = inside ? e->block.pc : pc;
    e->points.open = true;
    if (e->points.noting && !e->partial && !(e->block.flags & BLOCK_LEAVES)) {
        update_check(e);
        return;
    }
    request_stop(e, STOP_WATCH);
    e->arch->leave(e);
}

/* Behind the access, while the code that it was in can be read: before the next block, before a trap. */
void points_close(struct engine *e)
{
    if (e->points.open)
        e->points.hit.icount += count_between(e, e->points.hit_from, e->points.hit.pc);
    e->points.open = false;
}

/* In front of an instruction: here the engine looks whether it is to stop, and stands behind a device's write that the
 * instruction before has caused. */
static void on_instruction(uc_engine *uc, uint64_t pc, uint32_t size, void *user)
{
    struct engine *e = user;
    (void)uc, (void)size;
    if (!e->points.met || e->stop != STOP_NONE || pc == e->points.hit.pc)
        return;
    settle_left_block(e, pc);
    e->mark.fresh = false;
    request_stop(e, STOP_DEVICE);
    e->arch->leave(e);
}

/* The engine has left at an access: stand in front of it.  It is done from part_from to part_to: an instruction that
 * reaches memory is no branch. */
bool points_settle(struct engine *e)
{
    uint8_t code[2];
    if (!read_code(e, e->points.hit.pc, code, sizeof code))
        return false;
    e->icount = e->points.hit.icount;
    e->mark.left = true;
    e->mark.fresh = false;
    e->part_from = e->points.hit.pc;
    e->part_to = e->part_from + e->arch->insn_size(code);
    return true;
}

static void on_memory(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user)
{
    struct watch *w = user;
    unsigned kind = type == UC_MEM_WRITE ? HIT_WRITE : HIT_READ;
    (void)uc, (void)value;
    if (!w->engine->points.passing && (w->kinds & kind) && address <= w->last && address + (unsigned)size > w->first)
        meet_access(w->engine, kind, engine_pc(w->engine), address, (uint32_t)size);
}

/* A device has written to memory.  In the middle of an access the engine stops in front of the next instruction, or of
 * the next block if it need not be `exact`: told to stop there and then, it would leave at the instruction, as if that
 * had not been done.  Whether what it has written is watched. */
static bool device_wrote(struct engine *e, uint64_t address, uint64_t size, bool in_access)
{
    for (int i = 0; i < e->points.watch_count; i++) {
        const struct watch *w = &e->points.watches[i];
        if (!(w->kinds & HIT_WRITE) || address > w->last || address + size <= w->first)
            continue;
        if (size > UINT32_MAX) { /* all of memory: what is watched of it */
            address = w->first;
            size = w->last - w->first + 1;
        }
        uint64_t pc = in_access ? e->pc_at_access : engine_pc(e);
        uint64_t icount = in_access ? e->access_icount : e->icount;
        e->points.hit = (struct hit){HIT_WRITE | HIT_DEVICE | (in_access ? HIT_ASKED : 0), icount, pc, address, (uint32_t)size};
        e->points.met = in_access && !e->points.noting;
        update_check(e);
        return true;
    }
    return false;
}

static void flag_translations(struct engine *e)
{
    for (size_t i = 0; i < e->translations.used; i++) {
        struct block *b = &e->translations.rows[i].block;
        b->flags &= (uint16_t)~BLOCK_BREAK;
        if (b->size && points_touch(e, b->pc, b->size))
            b->flags |= BLOCK_BREAK;
    }
}

/* -1 with an exception set: not a sequence of at most MAX_BREAKS addresses. */
static int set_breaks(struct engine *e, PyObject *addresses)
{
    Py_ssize_t count = PySequence_Length(addresses);
    if (count < 0)
        return -1;
    if (count > MAX_BREAKS) {
        PyErr_Format(PyExc_ValueError, "at most %d breakpoints", MAX_BREAKS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(addresses, i);
        e->points.breaks[i] = item ? PyLong_AsUnsignedLongLongMask(item) : 0;
        Py_XDECREF(item);
    }
    e->points.break_count = PyErr_Occurred() ? 0 : (int)count;
    flag_translations(e);
    return PyErr_Occurred() ? -1 : 0;
}

static void unhook(struct engine *e)
{
    for (int i = 0; i < e->points.watch_count; i++)
        uc_hook_del(e->uc, e->points.watches[i].hook);
    if (e->points.exact)
        uc_hook_del(e->uc, e->points.each);
    e->points.watch_count = 0;
    e->points.exact = false;
}

static bool hook_watch(struct engine *e, struct watch *w)
{
    uint64_t begin = w->first > ACCESS_BYTES ? w->first - ACCESS_BYTES : 0;
    int kinds = (w->kinds & HIT_READ ? UC_HOOK_MEM_READ : 0) | (w->kinds & HIT_WRITE ? UC_HOOK_MEM_WRITE : 0);
    return uc_hook_add(e->uc, &w->hook, kinds, (void *)on_memory, w, begin, w->last) == UC_ERR_OK;
}

static int set_watches(struct engine *e, PyObject *ranges, bool exact)
{
    Py_ssize_t count = PySequence_Length(ranges);
    if (count < 0)
        return -1;
    if (count > MAX_WATCHES) {
        PyErr_Format(PyExc_ValueError, "at most %d watchpoints", MAX_WATCHES);
        return -1;
    }
    if (!count && !e->points.watch_count)
        return 0;
    unhook(e);
    for (Py_ssize_t i = 0; i < count; i++) {
        struct watch *w = &e->points.watches[i];
        unsigned long long first, last;
        PyObject *item = PySequence_GetItem(ranges, i);
        int parsed = item && PyArg_ParseTuple(item, "KKI", &first, &last, &w->kinds);
        Py_XDECREF(item);
        if (!parsed)
            return -1;
        w->engine = e;
        w->first = first;
        w->last = last;
        if (!hook_watch(e, w)) {
            PyErr_SetString(PyExc_RuntimeError, "the engine takes no more hooks");
            return -1;
        }
        e->points.watch_count++;
    }
    if (count && exact)
        e->points.exact = uc_hook_add(e->uc, &e->points.each, UC_HOOK_CODE, (void *)on_instruction, e, 1, 0) == UC_ERR_OK;
    drop_all_translations(e); /* hooks on memory are part of what is translated */
    return 0;
}

PyObject *points_set(struct engine *e, PyObject *args)
{
    PyObject *breaks, *watches;
    int exact;
    if (!PyArg_ParseTuple(args, "OOp", &breaks, &watches, &exact))
        return NULL;
    if (set_breaks(e, breaks) < 0 || set_watches(e, watches, exact) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *points_begin(struct engine *e, PyObject *args)
{
    int stepping, noting, anew;
    if (!PyArg_ParseTuple(args, "ppp", &stepping, &noting, &anew))
        return NULL;
    e->points.stepping = stepping;
    e->points.noting = noting;
    e->points.met = e->points.open = false;
    e->points.hit = (struct hit){0};
    e->points.here_icount = anew ? NEVER : e->icount;
    e->points.here_pc = engine_pc(e);
    Py_RETURN_NONE;
}

PyObject *points_wrote(struct engine *e, PyObject *args)
{
    unsigned long long address, size;
    int in_access;
    if (!PyArg_ParseTuple(args, "KKp", &address, &size, &in_access))
        return NULL;
    return PyBool_FromLong(device_wrote(e, address, size, in_access));
}

PyObject *points_hit(struct engine *e, void *closure)
{
    const struct hit *h = &e->points.hit;
    (void)closure;
    if (!h->kind)
        Py_RETURN_NONE;
    return Py_BuildValue("(IKKKI)", h->kind, (unsigned long long)h->icount, (unsigned long long)h->pc,
                         (unsigned long long)h->address, h->size);
}

/* Reading registers changes the privilege for a moment, which clears a load reservation.  Between keep and
 * put back it does not. */
PyObject *points_keep(struct engine *e, PyObject *none)
{
    (void)none;
    if (!e->points.kept && uc_context_alloc(e->uc, &e->points.kept) != UC_ERR_OK)
        return PyErr_NoMemory();
    uc_context_save(e->uc, e->points.kept);
    Py_RETURN_NONE;
}

PyObject *points_put_back(struct engine *e, PyObject *none)
{
    (void)none;
    if (e->points.kept)
        uc_context_restore(e->uc, e->points.kept);
    Py_RETURN_NONE;
}

void points_teardown(struct engine *e)
{
    if (e->points.kept)
        uc_context_free(e->points.kept);
    e->points.kept = NULL;
}
