/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Register windows: what the CPU node answers itself, what it gathers, what it asks about.
 *
 * docs/wire.md (Register) says what each treatment means.
 */
#include "engine.h"
#include <stdlib.h>
#include <string.h>

/* The hook fires before the window's own callback and is the only place where the pc is exact. */
static bool on_window_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
                             void *user)
{
    struct window *w = user;
    unsigned bytes = (unsigned)size;
    (void)uc, (void)value;
    w->engine->pc_at_access = engine_pc(w->engine);
    /* A misaligned one is two that are aligned. */
    w->engine->mark.reading = (uint8_t)(type != UC_MEM_READ_PROT ? 0 : address % bytes ? 2 * bytes : bytes);
    return true;
}

static uint64_t access_icount(struct engine *e)
{
    uint64_t pc = e->pc_at_access;
    if (!e->mark.left && in_block(e, pc))
        return block_start(e) + count_between(e, e->block.pc, pc);
    return e->icount;
}

/* Ask Python; it tells the device what was gathered, then this access, and waits for the answer. */
static uint64_t call(struct window *w, int kind, uint64_t offset, unsigned size, uint64_t value)
{
    struct engine *e = w->engine;
    uint64_t answer = 0;
    if (e->stop == STOP_ERROR)
        return 0;
    e->access_icount = access_icount(e);
    e->n_called++;
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *result = PyObject_CallFunction(e->on_access, "iiKIK", w->number, kind, (unsigned long long)offset,
                                             size, (unsigned long long)value);
    if (result) {
        answer = PyLong_AsUnsignedLongLongMask(result);
        Py_DECREF(result);
    }
    if (PyErr_Occurred()) {
        e->stop = STOP_NONE; /* an error is told before anything else */
        request_stop(e, STOP_ERROR);
    }
    PyGILState_Release(gil);
    update_check(e);
    return answer;
}

static void gather(struct window *w, int kind, uint64_t offset, unsigned size, uint64_t value)
{
    struct engine *e = w->engine;
    struct access *last = &w->posted[w->posted_count - 1];
    if (kind == ACCESS_POP && w->posted_count && last->kind == ACCESS_POP && last->offset == offset) {
        last->value += value;
        return;
    }
    if (w->posted_count == MAX_POSTED)
        return; /* telling it has failed; the rest of this block is the last that runs */
    if (e->posted_at == NEVER) {
        e->posted_at = access_icount(e) + e->posted_distance;
        update_check(e);
    }
    w->posted[w->posted_count++] = (struct access){(uint8_t)kind, (uint8_t)size, (uint32_t)offset, value};
    if (w->posted_count == MAX_POSTED)
        call(w, ACCESS_TELL, 0, 0, 0);
}

static struct reg *reg_of(struct window *w, uint64_t offset)
{
    if (offset >= PAGE_SIZE || !w->index[offset])
        return NULL;
    return &w->regs[w->index[offset]];
}

/* A store that does not come from an instruction: the firmware's console.  False: this register is asked. */
bool window_post(struct window *w, uint64_t offset, uint64_t value)
{
    struct reg *reg = reg_of(w, offset);
    if (!reg || reg->write != WRITE_POSTED || (value & reg->call_mask) || w->posted_count >= MAX_POSTED - 1)
        return false;
    w->engine->n_posted++;
    gather(w, ACCESS_WRITE, offset, 1, value);
    return true;
}

static uint64_t on_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    struct window *w = user;
    struct reg *reg = reg_of(w, offset);
    (void)uc;
    /* A page table that lies here: the walk is not an access of the guest's, and when it happens depends
     * on the TLB.  It finds no valid entry. */
    if (w->engine->mark.reading < size)
        return 0;
    w->engine->mark.reading = (uint8_t)(w->engine->mark.reading - size);
    if (reg && reg->read == READ_SHADOW) {
        w->engine->n_shadow++;
        return reg->value | (w->fifo_used ? reg->fifo_mask : 0);
    }
    if (reg && reg->read == READ_FIFO && w->fifo_used) {
        uint64_t value = w->fifo[w->fifo_head];
        w->fifo_head = (w->fifo_head + 1) % FIFO_BYTES;
        w->fifo_used--;
        w->engine->n_shadow++;
        gather(w, ACCESS_POP, offset, size, 1);
        if (!w->fifo_used)
            call(w, ACCESS_TELL, 0, 0, 0);
        return value;
    }
    return call(w, ACCESS_READ, offset, size, 0);
}

static void on_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user)
{
    struct window *w = user;
    struct reg *reg = reg_of(w, offset);
    (void)uc;
    if (size < 8)
        value &= (1ull << (size * 8)) - 1;
    if (reg && reg->write == WRITE_POSTED && !(value & reg->call_mask) && !(w->raised && reg->raise_mask)) {
        bool raises = value & ~reg->value & reg->raise_mask;
        reg->value = (reg->value & ~reg->latch_mask) | (value & reg->latch_mask);
        w->engine->n_posted++;
        gather(w, ACCESS_WRITE, offset, size, value);
        if (raises) {
            w->raised = true;
            call(w, ACCESS_RAISE, offset, size, value);
        }
        return;
    }
    call(w, ACCESS_WRITE, offset, size, value);
    if (w->engine->last)
        w->engine->arch->leave(w->engine);
}

static int protect(struct engine *e, uint64_t base, uint64_t size, void *hook, void *user, uc_hook *handle, int kinds)
{
    if (uc_mem_protect(e->uc, base, size, UC_PROT_NONE) != UC_ERR_OK)
        return -1;
    /* Bounded: an unbounded memory hook sends every store to RAM through the slow path. */
    return uc_hook_add(e->uc, handle, kinds, hook, user, base, base + size - 1) == UC_ERR_OK ? 0 : -1;
}

static bool on_hole_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user);

int window_add(struct engine *e, uint64_t base, uint64_t size)
{
    if (e->window_count == MAX_WINDOWS)
        return -1;
    struct window *w = calloc(1, sizeof *w);
    if (!w || !(w->fifo = malloc(FIFO_BYTES)))
        return -1;
    w->engine = e;
    w->number = e->window_count;
    w->base = base;
    w->size = size;
    if (uc_mmio_map(e->uc, base, size, on_read, w, on_write, w) != UC_ERR_OK ||
        protect(e, base, size, (void *)on_window_access, w, &w->hook_access,
                UC_HOOK_MEM_READ_PROT | UC_HOOK_MEM_WRITE_PROT) < 0 ||
        protect(e, base, size, (void *)on_hole_access, e, &w->hook_fetch, UC_HOOK_MEM_FETCH_PROT) < 0) {
        window_free(w);
        return -1;
    }
    e->windows[e->window_count++] = w;
    return w->number;
}

void window_free(struct window *w)
{
    free(w->fifo);
    free(w);
}

int window_set(struct window *w, const struct reg *row)
{
    if (row->offset >= PAGE_SIZE)
        return -1;
    if (!w->index[row->offset]) {
        if (w->registers == MAX_REGISTERS)
            return -1;
        w->index[row->offset] = (uint8_t)++w->registers;
    }
    struct reg *reg = &w->regs[w->index[row->offset]];
    if (reg->read == READ_FIFO && row->read != READ_FIFO)
        w->fifo_used = 0; /* the queue goes back to the device */
    *reg = *row;
    return 0;
}

int window_push(struct window *w, const uint8_t *data, size_t size)
{
    if (size > FIFO_BYTES - w->fifo_used)
        return -1;
    for (size_t i = 0; i < size; i++)
        w->fifo[(w->fifo_head + w->fifo_used++) % FIFO_BYTES] = data[i];
    return 0;
}

static bool joins(const struct access *a, const struct access *b)
{
    return a->kind == ACCESS_WRITE && b->kind == ACCESS_WRITE && a->size == 1 && b->size == 1 &&
           a->offset == b->offset;
}

/* What was gathered, as a list of (kind, offset, size, value, data): one-byte stores to one register in a
 * row are one item. */
PyObject *window_posted(const struct window *w)
{
    PyObject *list = PyList_New(0);
    char row[MAX_POSTED];
    for (int i = 0; list && i < w->posted_count;) {
        const struct access *a = &w->posted[i];
        int count = 0;
        do
            row[count++] = (char)w->posted[i++].value;
        while (i < w->posted_count && joins(a, &w->posted[i]));
        PyObject *item = Py_BuildValue("iIiKy#", a->kind, a->offset, a->size,
                                       (unsigned long long)(count > 1 ? 0 : a->value), row,
                                       (Py_ssize_t)(count > 1 ? count : 0));
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

/* The same, and nothing is gathered any more. */
PyObject *window_take_posted(struct window *w)
{
    struct engine *e = w->engine;
    PyObject *list = window_posted(w);
    w->posted_count = 0;
    w->raised = false;
    e->posted_at = NEVER;
    for (int i = 0; i < e->window_count; i++)
        if (e->windows[i]->posted_count)
            e->posted_at = 0; /* rare: another device's stores wait too; tell it at the next sync point */
    return list;
}

/* An address range where nothing is: the guest gets an access fault. */
static bool on_hole_access(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user)
{
    struct engine *e = user;
    (void)address, (void)size, (void)value;
    e->pc_at_access = engine_pc(e);
    e->fault_write = type == UC_MEM_WRITE_PROT;
    e->fault_fetch = type == UC_MEM_FETCH_PROT;
    if (e->stop == STOP_NONE)
        e->stop = STOP_FAULT;
    uc_emu_stop(uc);
    if (type != UC_MEM_FETCH_PROT) /* else nothing is being executed */
        e->arch->leave(e);
    return false;
}

static uint64_t hole_read(uc_engine *uc, uint64_t offset, unsigned size, void *user)
{
    (void)uc, (void)offset, (void)size, (void)user;
    return 0;
}

static void hole_write(uc_engine *uc, uint64_t offset, unsigned size, uint64_t value, void *user)
{
    (void)uc, (void)offset, (void)size, (void)value, (void)user;
}

int hole_add(struct engine *e, uint64_t base, uint64_t size)
{
    uc_hook handle;
    if (uc_mmio_map(e->uc, base, size, hole_read, e, hole_write, e) != UC_ERR_OK)
        return -1;
    return protect(e, base, size, (void *)on_hole_access, e, &handle,
                   UC_HOOK_MEM_READ_PROT | UC_HOOK_MEM_WRITE_PROT | UC_HOOK_MEM_FETCH_PROT);
}
