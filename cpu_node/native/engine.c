/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Python type `Engine`: one guest CPU's counted execution.  See cpu_node/engine.py for its use. */
#include "engine.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

static int engine_init(struct engine *e, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"core", "on_access", "shift", "posted_distance", "poll_every", "ram",
                            "ram_base", "ram_size", NULL};
    unsigned long long distance, every, ram;
    struct core *core;
    PyObject *on_access;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!OIKKKKK", names, &core_type, &core, &on_access, &e->shift,
                                     &distance, &every, &ram, &e->ram_base, &e->ram_size))
        return -1;
    e->core = (struct core *)Py_NewRef((PyObject *)core);
    e->uc = core->uc;
    e->arch = core->arch;
    e->on_access = Py_NewRef(on_access);
    e->ram = (uint8_t *)(uintptr_t)ram;
    e->posted_distance = distance;
    e->poll_every = every;
    e->deadline = e->target = e->place = e->posted_at = NEVER;
    e->wake_fd = -1;
    e->mark.fresh = true;
    if (counting_setup(e) < 0 || e->arch->setup(e) < 0) {
        PyErr_SetString(PyExc_RuntimeError, "this unicorn is not the one the engine was measured with");
        return -1;
    }
    return 0;
}

/* Whoever answers accesses knows the engine: only the collector can end them both. */
static int engine_traverse(struct engine *e, visitproc visit, void *arg)
{
    Py_VISIT(e->on_access);
    Py_VISIT((PyObject *)e->core);
    return 0;
}

static int engine_clear(struct engine *e)
{
    Py_CLEAR(e->on_access);
    return 0;
}

static void engine_dealloc(struct engine *e)
{
    PyObject_GC_UnTrack(e);
    for (int i = 0; i < e->window_count; i++)
        window_free(e->windows[i]);
    if (e->arch)
        e->arch->teardown(e);
    counting_teardown(e);
    free(e->cover);
    points_teardown(e);
    free(e->code.bytes);
    Py_XDECREF(e->on_access);
    Py_XDECREF((PyObject *)e->core);
    Py_TYPE(e)->tp_free((PyObject *)e);
}

PyDoc_STRVAR(run_doc, "run() -> int: run until something is due; the STOP_ constant that says what.");
static PyObject *engine_run_method(struct engine *e, PyObject *none)
{
    enum stop_reason reason;
    (void)none;
    Py_BEGIN_ALLOW_THREADS
    reason = engine_run(e);
    Py_END_ALLOW_THREADS
    if (PyErr_Occurred())
        return NULL;
    if (reason == STOP_ERROR)
        return PyErr_Format(PyExc_RuntimeError, "the engine cannot go on at %llu instructions, pc %p: %s",
                            (unsigned long long)e->icount, (void *)(uintptr_t)engine_pc(e), uc_strerror(e->error));
    return PyLong_FromLong(reason);
}

PyDoc_STRVAR(request_sync_doc, "request_sync(): stop at the next sync point.");
static PyObject *request_sync(struct engine *e, PyObject *none)
{
    (void)none;
    e->deadline = 0;
    update_check(e);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(stop_now_doc, "stop_now(): the access or firmware call being served is the last thing that runs.");
static PyObject *stop_now(struct engine *e, PyObject *none)
{
    (void)none;
    if (!e->mark.left) { /* an access: its block ends behind it */
        e->icount = e->access_icount + 1;
        e->mark.left = true;
        e->last = true;
    }
    request_stop(e, STOP_SYNC);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(drop_code_doc, "drop_code(): forget every translation of code and of addresses.");
static PyObject *drop_code(struct engine *e, PyObject *none)
{
    (void)none;
    uc_ctl_flush_tb(e->uc);
    uc_ctl_flush_tlb(e->uc);
    code_forget(e);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(flush_tlb_doc, "flush_tlb(): forget every translation of addresses.");
static PyObject *flush_tlb(struct engine *e, PyObject *none)
{
    (void)none;
    uc_ctl_flush_tlb(e->uc);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(changed_doc, "changed(): somebody outside has changed the CPU where it stands, which is no sync point then.");
static PyObject *changed(struct engine *e, PyObject *none)
{
    (void)none;
    e->block = (struct block){0};
    e->mark = (struct mark){.left = true};
    drop_all_translations(e);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(after_firmware_doc, "after_firmware(): the firmware call returns behind its instruction.");
static PyObject *after_firmware(struct engine *e, PyObject *none)
{
    uint64_t pc = e->firmware_pc + 4;
    (void)none;
    uc_reg_write(e->uc, e->arch->reg_pc, &pc);
    Py_RETURN_NONE;
}

struct window *window_at(struct engine *e, int number)
{
    if (number < 0 || number >= e->window_count) {
        PyErr_Format(PyExc_IndexError, "no register window %d", number);
        return NULL;
    }
    return e->windows[number];
}

PyDoc_STRVAR(add_window_doc, "add_window(base, size) -> int: registers at a guest physical address.");
static PyObject *add_window(struct engine *e, PyObject *args)
{
    unsigned long long base, size;
    if (!PyArg_ParseTuple(args, "KK", &base, &size))
        return NULL;
    int number = window_add(e, base, size);
    if (number < 0)
        return PyErr_Format(PyExc_RuntimeError, "cannot map registers at %p", (void *)(uintptr_t)base);
    return PyLong_FromLong(number);
}

PyDoc_STRVAR(add_hole_doc, "add_hole(base, size): an access there gives the guest an access fault.");
static PyObject *add_hole(struct engine *e, PyObject *args)
{
    unsigned long long base, size;
    if (!PyArg_ParseTuple(args, "KK", &base, &size))
        return NULL;
    if (hole_add(e, base, size) < 0)
        return PyErr_Format(PyExc_RuntimeError, "cannot map a hole at %p", (void *)(uintptr_t)base);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_register_doc,
             "set_register(window, offset, read, write, value, latch_mask, call_mask, fifo_mask, raise_mask).");
static PyObject *set_register(struct engine *e, PyObject *args)
{
    int number, read, write;
    unsigned offset;
    unsigned long long value, latch, call, fifo, raise;
    if (!PyArg_ParseTuple(args, "iIiiKKKKK", &number, &offset, &read, &write, &value, &latch, &call, &fifo, &raise))
        return NULL;
    struct window *w = window_at(e, number);
    if (!w)
        return NULL;
    struct reg row = {(uint8_t)read, (uint8_t)write, (uint16_t)offset, value, latch, call, fifo, raise};
    if (offset >= PAGE_SIZE || window_set(w, &row) < 0)
        return PyErr_Format(PyExc_ValueError, "no register can be treated at offset %u", offset);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(push_fifo_doc, "push_fifo(window, data): values for the window's queue; ValueError if it is full.");
static PyObject *push_fifo(struct engine *e, PyObject *args)
{
    int number;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "iy*", &number, &data))
        return NULL;
    struct window *w = window_at(e, number);
    int failed = !w || window_push(w, data.buf, (size_t)data.len) < 0;
    PyBuffer_Release(&data);
    if (!w)
        return NULL;
    if (failed)
        return PyErr_Format(PyExc_ValueError, "the queue of register window %d is full", number);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(post_doc, "post(window, offset, byte) -> bool: gather a store of the firmware; False if it must be told.");
static PyObject *post(struct engine *e, PyObject *args)
{
    int number, value;
    unsigned offset;
    if (!PyArg_ParseTuple(args, "iIi", &number, &offset, &value))
        return NULL;
    struct window *w = window_at(e, number);
    return w ? PyBool_FromLong(window_post(w, offset, (uint64_t)value)) : NULL;
}

PyDoc_STRVAR(take_posted_doc, "take_posted(window) -> [(kind, offset, size, value, data)]: what was gathered, once.");
static PyObject *take_posted(struct engine *e, PyObject *arg)
{
    struct window *w = window_at(e, (int)PyLong_AsLong(arg));
    return w ? window_take_posted(w) : NULL;
}

PyDoc_STRVAR(window_state_doc, "window_state(window) -> (registers, queue, gathered, raised): what the window remembers.");
static PyObject *window_state(struct engine *e, PyObject *arg)
{
    struct window *w = window_at(e, (int)PyLong_AsLong(arg));
    if (!w)
        return NULL;
    PyObject *registers = PyList_New(0), *queue = PyBytes_FromStringAndSize(NULL, w->fifo_used);
    PyObject *gathered = window_posted(w);
    for (unsigned i = 0; queue && i < w->fifo_used; i++)
        PyBytes_AS_STRING(queue)[i] = (char)w->fifo[(w->fifo_head + i) % FIFO_BYTES];
    for (unsigned at = 0; registers && at < PAGE_SIZE; at++) {
        struct reg *r = w->index[at] ? &w->regs[w->index[at]] : NULL;
        PyObject *row = r ? Py_BuildValue("IiiKKKKK", at, r->read, r->write, (unsigned long long)r->value,
                                          (unsigned long long)r->latch_mask, (unsigned long long)r->call_mask,
                                          (unsigned long long)r->fifo_mask,
                                          (unsigned long long)r->raise_mask) : NULL;
        if (row) {
            PyList_Append(registers, row);
            Py_DECREF(row);
        }
    }
    return PyErr_Occurred() ? NULL : Py_BuildValue("NNNN", registers, queue, gathered, PyBool_FromLong(w->raised));
}

PyDoc_STRVAR(set_points_doc,
             "set_points(breaks, watches, exact): virtual addresses; (first, last, HIT_READ | HIT_WRITE) of physical\n"
             "memory; exact: stop behind the instruction, else the last access is only noted.");
PyDoc_STRVAR(begin_doc, "begin(stepping, noting, anew): what the next runs are for; anew: the breakpoint here counts.");
PyDoc_STRVAR(wrote_doc, "wrote(address, size, in_access): a device has written to guest memory.");
PyDoc_STRVAR(keep_doc, "keep(): remember the CPU, to be looked at.");
PyDoc_STRVAR(put_back_doc, "put_back(): the CPU as it was when it was kept.");

#define METHOD(name, function, flags) {#name, (PyCFunction)(void (*)(void))function, flags, name##_doc}
static PyMethodDef methods[] = {
    METHOD(run, engine_run_method, METH_NOARGS),
    METHOD(request_sync, request_sync, METH_NOARGS),
    METHOD(stop_now, stop_now, METH_NOARGS),
    METHOD(drop_code, drop_code, METH_NOARGS),
    METHOD(flush_tlb, flush_tlb, METH_NOARGS),
    METHOD(after_firmware, after_firmware, METH_NOARGS),
    METHOD(changed, changed, METH_NOARGS),
    {"cover", engine_cover, METH_NOARGS, "cover(): from here on note which blocks are executed."},
    {"covered", engine_covered, METH_NOARGS, "covered() -> [(pc, bytes)]: the blocks, each once, in order."},
    METHOD(add_window, add_window, METH_VARARGS),
    METHOD(add_hole, add_hole, METH_VARARGS),
    METHOD(set_register, set_register, METH_VARARGS),
    METHOD(push_fifo, push_fifo, METH_VARARGS),
    METHOD(post, post, METH_VARARGS),
    METHOD(take_posted, take_posted, METH_O),
    METHOD(window_state, window_state, METH_O),
    {"resume", (PyCFunction)engine_resume, METH_O, "resume(icount): stand at a sync point, nothing translated."},
    {"restore_window", (PyCFunction)engine_restore_window, METH_VARARGS,
     "restore_window(window, queue, gathered, raised): and no register is named any more."},
    METHOD(set_points, points_set, METH_VARARGS),
    METHOD(begin, points_begin, METH_VARARGS),
    METHOD(wrote, points_wrote, METH_VARARGS),
    METHOD(keep, points_keep, METH_NOARGS),
    METHOD(put_back, points_put_back, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

#define FIELD(name, type, flags, doc) {#name, type, offsetof(struct engine, name), flags, doc}
static PyMemberDef members[] = {
    FIELD(icount, T_ULONGLONG, 0, "instructions retired"),
    FIELD(access_icount, T_ULONGLONG, READONLY, "instructions retired before the access being served"),
    FIELD(deadline, T_ULONGLONG, 0, "stop at the first sync point from this count on"),
    FIELD(target, T_ULONGLONG, 0, "stop exactly at this count"),
    FIELD(place, T_ULONGLONG, 0, "stop where this address is next, at the count where the engine stands"),
    FIELD(posted_at, T_ULONGLONG, 0, "gathered stores are due from this count on"),
    FIELD(idle_ns, T_ULONGLONG, 0, "virtual time that passed while the guest slept"),
    FIELD(wake_fd, T_INT, 0, "a descriptor that asks for a stop when it is readable"),
    FIELD(woken, T_BOOL, 0, "the descriptor was readable"),
    FIELD(last_cause, T_UINT, READONLY, "the last exception's cause"),
    FIELD(n_stops, T_ULONGLONG, READONLY, "times the engine came back"),
    FIELD(n_translated, T_ULONGLONG, READONLY, "blocks translated"),
    FIELD(n_fences, T_ULONGLONG, READONLY, "times the TLB was flushed because new code was fenced"),
    FIELD(n_traps, T_ULONGLONG, READONLY, "exceptions the guest got"),
    FIELD(n_emulated, T_ULONGLONG, READONLY, "counter reads answered from the instruction counter"),
    FIELD(n_flushes, T_ULONGLONG, READONLY, "times all translations were dropped"),
    FIELD(n_stale, T_ULONGLONG, READONLY, "blocks dropped because a fence found their code changed"),
    FIELD(n_clears, T_ULONGLONG, READONLY, "TLB flushes after a block that may clear an accessed bit"),
    FIELD(n_decoded, T_ULONGLONG, READONLY, "blocks counted by decoding"),
    FIELD(n_shadow, T_ULONGLONG, READONLY, "loads answered without asking"),
    FIELD(n_posted, T_ULONGLONG, READONLY, "stores gathered"),
    FIELD(n_called, T_ULONGLONG, READONLY, "accesses that waited for a device"),
    FIELD(most_translations, T_ULONGLONG, 0, "rows for translations, not 0; for tests, before the first run"),
    FIELD(chaos_state, T_ULONGLONG, 0, "seed of the perturbations, not 0"),
    FIELD(chaos_stop, T_ULONGLONG, 0, "stop for nothing once in so many instructions"),
    FIELD(chaos_tb, T_ULONGLONG, 0, "drop all translations once in so many instructions"),
    FIELD(chaos_tlb, T_ULONGLONG, 0, "flush the TLB once in so many instructions"),
    {NULL, 0, 0, 0, NULL},
};

static PyObject *get_pc(struct engine *e, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(engine_pc(e));
}

static PyGetSetDef properties[] = {
    {"pc", (getter)get_pc, NULL, "the address of the next instruction", NULL},
    {"hit", (getter)points_hit, NULL, "the last point met: (kind, icount, pc, address, size), or None", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject engine_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "cpu_node._engine.Engine",
    .tp_basicsize = sizeof(struct engine),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_doc = "Counted execution of one guest CPU.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)engine_init,
    .tp_dealloc = (destructor)engine_dealloc,
    .tp_traverse = (traverseproc)engine_traverse,
    .tp_clear = (inquiry)engine_clear,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
};

static PyMethodDef functions[] = {
    {"watch_writes", watch_writes, METH_VARARGS, "watch_writes(address, size, granule): nothing counts as written."},
    {"unwatch", unwatch, METH_NOARGS, "unwatch(): everything counts as written, and may be, by the kernel too."},
    {"set_guards", set_guards, METH_O, "set_guards([(address, size, reads)]): none is touched; no others are there."},
    {"guards_touched", guards_touched, METH_NOARGS, "guards_touched(): whether one was, since they were set."},
    {"take_written", take_written, METH_NOARGS, "take_written() -> [granule]: those written since the last time."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_engine", .m_doc = "Counted execution of one guest CPU.", .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__engine(void)
{
    if (PyType_Ready(&engine_type) < 0 || PyType_Ready(&core_type) < 0)
        return NULL;
    PyObject *m = PyModule_Create(&module);
    if (!m || PyModule_AddObjectRef(m, "Engine", (PyObject *)&engine_type) < 0 ||
        PyModule_AddObjectRef(m, "Core", (PyObject *)&core_type) < 0 || core_add_registers(m) < 0)
        return NULL;
    PyModule_AddIntConstant(m, "STOP_SYNC", STOP_SYNC);
    PyModule_AddIntConstant(m, "STOP_IDLE", STOP_IDLE);
    PyModule_AddIntConstant(m, "STOP_FIRMWARE", STOP_FIRMWARE);
    PyModule_AddIntConstant(m, "STOP_EXACT", STOP_EXACT);
    PyModule_AddIntConstant(m, "STOP_STUCK", STOP_STUCK);
    PyModule_AddIntConstant(m, "STOP_BREAK", STOP_BREAK);
    PyModule_AddIntConstant(m, "STOP_WATCH", STOP_WATCH);
    PyModule_AddIntConstant(m, "STOP_DEVICE", STOP_DEVICE);
    PyModule_AddIntConstant(m, "STOP_STEP", STOP_STEP);
    PyModule_AddIntConstant(m, "STOP_PLACE", STOP_PLACE);
    PyModule_AddIntConstant(m, "MAX_BREAKS", MAX_BREAKS);
    PyModule_AddIntConstant(m, "MAX_WATCHES", MAX_WATCHES);
    PyModule_AddIntConstant(m, "HIT_READ", HIT_READ);
    PyModule_AddIntConstant(m, "HIT_WRITE", HIT_WRITE);
    PyModule_AddIntConstant(m, "HIT_BREAK", HIT_BREAK);
    PyModule_AddIntConstant(m, "HIT_DEVICE", HIT_DEVICE);
    PyModule_AddIntConstant(m, "HIT_ASKED", HIT_ASKED);
    return m;
}
