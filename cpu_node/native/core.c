/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Python type `Core`: one Unicorn engine, its memory and its registers.
 *
 * Unicorn's own binding would do, but it takes 12 ms to import and some microseconds for a register, of which
 * a call of the firmware reads eight.
 */
#include "engine.h"
#include <string.h>

static const struct arch *const ARCHES[] = {&arch_riscv64};

/* -1 with an exception set. */
int core_add_registers(PyObject *module)
{
    for (size_t i = 0; i < sizeof ARCHES / sizeof *ARCHES; i++)
        for (const struct register_name *r = ARCHES[i]->registers; r->name; r++)
            if (PyModule_AddIntConstant(module, r->name, r->number) < 0)
                return -1;
    return 0;
}

static const struct arch *find_arch(const char *name)
{
    for (size_t i = 0; i < sizeof ARCHES / sizeof *ARCHES; i++)
        if (!strcmp(ARCHES[i]->name, name))
            return ARCHES[i];
    return NULL;
}

/* The Python result of a call of the engine's: None, or NULL with an exception set. */
static PyObject *result_of(uc_err err)
{
    if (err != UC_ERR_OK)
        return PyErr_Format(PyExc_RuntimeError, "the engine refuses: %s", uc_strerror(err));
    Py_RETURN_NONE;
}

static int core_init(struct core *c, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"arch", "translation_bytes", NULL};
    const char *name;
    unsigned bytes;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "sI", names, &name, &bytes))
        return -1;
    c->arch = find_arch(name);
    if (!c->arch) {
        PyErr_Format(PyExc_ValueError, "no engine for architecture %s", name);
        return -1;
    }
    uc_err err = c->uc ? UC_ERR_HANDLE : uc_open(c->arch->uc_arch, c->arch->uc_mode, &c->uc);
    if (err == UC_ERR_OK)
        err = uc_ctl_set_cpu_model(c->uc, c->arch->uc_cpu);
    if (err == UC_ERR_OK)
        err = uc_ctl_set_tcg_buffer_size(c->uc, bytes);
    PyObject *done = result_of(err);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static void core_dealloc(struct core *c)
{
    if (c->uc)
        uc_close(c->uc);
    Py_TYPE(c)->tp_free((PyObject *)c);
}

PyDoc_STRVAR(map_memory_doc, "map_memory(address, size, host_address): guest memory, kept by the caller.");
static PyObject *map_memory(struct core *c, PyObject *args)
{
    unsigned long long address, size, host;
    if (!PyArg_ParseTuple(args, "KKK", &address, &size, &host))
        return NULL;
    return result_of(uc_mem_map_ptr(c->uc, address, size, UC_PROT_ALL, (void *)(uintptr_t)host));
}

PyDoc_STRVAR(remove_cache_doc, "remove_cache(address, end): drop translations; addresses as the CPU sees them now.");
static PyObject *remove_cache(struct core *c, PyObject *args)
{
    unsigned long long address, end;
    if (!PyArg_ParseTuple(args, "KK", &address, &end))
        return NULL;
    return result_of(uc_ctl_remove_cache(c->uc, address, end));
}

PyDoc_STRVAR(reg_read_doc, "reg_read(number) -> int: a register, 64 bits.");
static PyObject *reg_read(struct core *c, PyObject *arg)
{
    uint64_t value = 0;
    long number = PyLong_AsLong(arg);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    PyObject *done = result_of(uc_reg_read(c->uc, (int)number, &value));
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyLong_FromUnsignedLongLong(value);
}

PyDoc_STRVAR(reg_write_doc, "reg_write(number, value): a register; the low 64 bits of the value.");
static PyObject *reg_write(struct core *c, PyObject *args)
{
    int number;
    unsigned long long value;
    if (!PyArg_ParseTuple(args, "iK", &number, &value))
        return NULL;
    uint64_t whole = value;
    return result_of(uc_reg_write(c->uc, number, &whole));
}

PyDoc_STRVAR(save_doc, "save() -> bytes: all that the engine knows but memory and floating-point exceptions; the same in every process.");
static PyObject *save(struct core *c, PyObject *none)
{
    (void)none;
    return context_save(c->uc);
}

PyDoc_STRVAR(restore_doc, "restore(bytes): what save() told; ValueError if it is of another engine.");
static PyObject *restore(struct core *c, PyObject *arg)
{
    Py_buffer data;
    if (PyObject_GetBuffer(arg, &data, PyBUF_SIMPLE) < 0)
        return NULL;
    int failed = context_restore(c->uc, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *get_handle(struct core *c, void *closure)
{
    (void)closure;
    return PyLong_FromVoidPtr(c->uc);
}

#define METHOD(name, flags) {#name, (PyCFunction)(void (*)(void))name, flags, name##_doc}
static PyMethodDef methods[] = {
    METHOD(map_memory, METH_VARARGS),
    METHOD(remove_cache, METH_VARARGS),
    METHOD(reg_read, METH_O),
    METHOD(reg_write, METH_VARARGS),
    METHOD(save, METH_NOARGS),
    METHOD(restore, METH_O),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"handle", (getter)get_handle, NULL, "the address of Unicorn's engine, for hooks of tests", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject core_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "cpu_node._engine.Core",
    .tp_basicsize = sizeof(struct core),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "One Unicorn engine, its memory and its registers.",
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)core_init,
    .tp_dealloc = (destructor)core_dealloc,
    .tp_methods = methods,
    .tp_getset = properties,
};
