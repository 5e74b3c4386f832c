/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watchpoints: an access of the guest's, or a device's, that reaches what is watched.
 *
 * Theory of operation.  A watchpoint is a hook on loads and stores of a range of physical memory, so a store through
 * any virtual address counts; it is translated in while there are watchpoints, and only then.  The hook comes before
 * the access and leaves translated code at once; then the instruction is done on its own, with the hook passing, and
 * the machine stands behind it.  Behind the access it would be too late: an atomic instruction has its register to
 * write then.
 *
 * In such a hook nothing may be looked up by a virtual address.  The engine has found the TLB's entry for the access
 * and uses it behind the hook; to look up another page may put that one's in its place, and the access goes somewhere
 * else (Unicorn 2.1.4, store_helper in cputlb.c).  So instructions up to the access are counted later; and where the
 * code could not be read any more then, what is only noted is done on its own, too.
 *
 * The hook has the address at which an access begins.  Where it reaches into a second page, only the guest's page
 * table says which one that is: translated code is left in front of such an access, and it is looked up there.  Known
 * gap: an access is not met that begins in another page than the one in front of what is watched, for hooks on all of
 * memory cost four times as much.
 *
 * Where a stop must be `exact` there is a hook in front of each instruction too, to stop behind what a device has
 * written while it was asked.
 */
#include "engine.h"

#define ACCESS_BYTES 16u /* more than an instruction reaches */

/* What an instruction that has not retired is about to do. */
static struct hit access_here(struct engine *e, unsigned kind, uint64_t address, uint32_t size)
{
    uint64_t pc = engine_pc(e);
    bool inside = !e->mark.left && in_block(e, pc);
    return (struct hit){kind, inside ? block_start(e) : e->icount, pc, address, size, inside ? e->block.pc : pc};
}

/* Behind the access, while the code that it was in can be read: before the next block, before a trap. */
void watches_close(struct engine *e)
{
    if (e->points.open)
        e->points.hit.icount += count_between(e, e->points.hit.from, e->points.hit.pc);
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

static bool minds(const struct watch *w, unsigned kind, uint64_t address, uint64_t size)
{
    return (w->kinds & kind) && address <= w->last && address + size > w->first;
}

static bool is_watched(const struct engine *e, const struct hit *access)
{
    for (int i = 0; i < e->points.watch_count; i++)
        if (minds(&e->points.watches[i], access->kind, access->address, access->size))
            return true;
    return false;
}

/* Of an access, the bytes in its first page. */
static uint32_t in_first_page(uint64_t address, uint32_t size)
{
    uint32_t left = PAGE_SIZE - (uint32_t)(address & (PAGE_SIZE - 1));
    return size < left ? size : left;
}

/* The next instruction's access reaches into two pages; whether what it reaches in one of them is watched. */
static bool meet_crossing(struct engine *e)
{
    struct hit first = e->points.crossing, second = first;
    first.size = in_first_page(first.address, first.size);
    second.size -= first.size;
    uint64_t next = e->arch->reaches(e, first.pc) + first.size;
    int right = first.kind == HIT_WRITE ? UC_PROT_WRITE : UC_PROT_READ;
    if (uc_vmem_translate(e->uc, next, right, &second.address) != UC_ERR_OK)
        return false; /* it traps */
    if (is_watched(e, &first))
        e->points.hit = first;
    else if (is_watched(e, &second))
        e->points.hit = second;
    else
        return false;
    return true;
}

/* The engine has left at an access: stand in front of it, and say whether it is met.  It is done from part_from to
 * part_to: an instruction that reaches memory is no branch. */
bool watches_settle(struct engine *e, bool *met)
{
    uint8_t code[2];
    struct hit *crossing = &e->points.crossing, *access = crossing->kind ? crossing : &e->points.hit;
    if (!read_code(e, access->pc, code, sizeof code))
        return false;
    if (access == crossing)
        crossing->icount += count_between(e, crossing->from, crossing->pc);
    e->icount = access->icount;
    e->mark.left = true;
    e->mark.fresh = false;
    e->part_from = access->pc;
    e->part_to = e->part_from + e->arch->insn_size(code);
    *met = access != crossing || meet_crossing(e);
    crossing->kind = 0;
    return true;
}

/* Leave translated code in front of the access that is about to be done. */
static void leave_at_access(struct engine *e)
{
    request_stop(e, STOP_WATCH);
    e->arch->leave(e);
}

static void on_memory(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value, void *user)
{
    struct watch *w = user;
    struct engine *e = w->engine;
    unsigned kind = type == UC_MEM_WRITE ? HIT_WRITE : HIT_READ;
    uint32_t bytes = (uint32_t)size;
    (void)uc, (void)value;
    if (e->points.passing || !minds(w, kind, address, bytes))
        return;
    if (in_first_page(address, bytes) < bytes) {
        e->points.crossing = access_here(e, kind, address, bytes);
        leave_at_access(e);
        return;
    }
    e->points.hit = access_here(e, kind, address, bytes);
    e->points.crossing.kind = 0;
    e->points.open = true;
    if (e->points.noting && !e->partial && !(e->block.flags & BLOCK_LEAVES))
        update_check(e);
    else
        leave_at_access(e);
}

/* A device has written to memory.  In the middle of an access the engine stops in front of the next instruction, or of
 * the next block if it need not be `exact`: told to stop there and then, it would leave at the instruction, as if that
 * had not been done.  Whether what it has written is watched. */
bool watches_device_wrote(struct engine *e, uint64_t address, uint64_t size, bool in_access)
{
    for (int i = 0; i < e->points.watch_count; i++) {
        const struct watch *w = &e->points.watches[i];
        if (!minds(w, HIT_WRITE, address, size))
            continue;
        if (size > UINT32_MAX) { /* all of memory: what is watched of it */
            address = w->first;
            size = w->last - w->first + 1;
        }
        uint64_t pc = in_access ? e->pc_at_access : engine_pc(e);
        uint64_t icount = in_access ? e->access_icount : e->icount;
        e->points.hit = (struct hit){HIT_WRITE | HIT_DEVICE | (in_access ? HIT_ASKED : 0), icount, pc, address, (uint32_t)size, pc};
        e->points.met = in_access && !e->points.noting;
        update_check(e);
        return true;
    }
    return false;
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

static int add_watch(struct engine *e, PyObject *range)
{
    struct watch *w = &e->points.watches[e->points.watch_count];
    unsigned long long first, last;
    if (!PyArg_ParseTuple(range, "KKI", &first, &last, &w->kinds))
        return -1;
    w->engine = e;
    w->first = first;
    w->last = last;
    if (!hook_watch(e, w)) {
        PyErr_SetString(PyExc_RuntimeError, "the engine takes no more hooks");
        return -1;
    }
    e->points.watch_count++;
    return 0;
}

int watches_set(struct engine *e, PyObject *ranges, bool exact)
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
        PyObject *item = PySequence_GetItem(ranges, i);
        int failed = !item || add_watch(e, item) < 0;
        Py_XDECREF(item);
        if (failed)
            return -1;
    }
    if (count && exact)
        e->points.exact = uc_hook_add(e->uc, &e->points.each, UC_HOOK_CODE, (void *)on_instruction, e, 1, 0) == UC_ERR_OK;
    drop_all_translations(e); /* hooks on memory are part of what is translated */
    return 0;
}
