/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Breakpoints and single steps, without a byte of the guest's changed; and what was met.
 *
 * Theory of operation.  A breakpoint is a flag of the translations that hold its address: a block without one
 * runs as ever, and one with it is run exactly up to it.
 *
 * Nothing that is met changes what the guest does: a stop is one of those that the tests make for nothing.
 */
#include "engine.h"

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
    e->points.hit = (struct hit){HIT_BREAK, e->icount, pc, pc, 0, pc};
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

PyObject *points_set(struct engine *e, PyObject *args)
{
    PyObject *breaks, *watches;
    int exact;
    if (!PyArg_ParseTuple(args, "OOp", &breaks, &watches, &exact))
        return NULL;
    if (set_breaks(e, breaks) < 0 || watches_set(e, watches, exact) < 0)
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
    return PyBool_FromLong(watches_device_wrote(e, address, size, in_access));
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
