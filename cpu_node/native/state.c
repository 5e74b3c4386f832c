/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of the CPU as bytes, and the CPU as such bytes say.
 *
 * Theory of operation.  A saved context of this core is position-independent behind a header that holds pointers
 * (measured on Unicorn 2.1.4).  It ends in front of the floating-point status, of which the accrued exceptions are
 * state (cpu_node/state.py): they, those bytes, memory and our own counters are all there is.
 */
#include "engine.h"
#include <string.h>

/* Pointers and lengths of the library's own. */
#define CONTEXT_HEADER 40

PyObject *context_save(uc_engine *uc)
{
    uc_context *context;
    PyObject *bytes = NULL;
    size_t size = uc_context_size(uc);
    if (size <= CONTEXT_HEADER || uc_context_alloc(uc, &context) != UC_ERR_OK)
        return PyErr_NoMemory();
    uc_err err = uc_context_save(uc, context);
    if (err == UC_ERR_OK)
        bytes = PyBytes_FromStringAndSize((char *)context + CONTEXT_HEADER, (Py_ssize_t)(size - CONTEXT_HEADER));
    else
        PyErr_Format(PyExc_RuntimeError, "the engine does not tell its state: %s", uc_strerror(err));
    uc_context_free(context);
    return bytes;
}

/* -1 with an exception set. */
int context_restore(uc_engine *uc, const uint8_t *data, size_t size)
{
    uc_context *context;
    if (size + CONTEXT_HEADER != uc_context_size(uc)) {
        PyErr_Format(PyExc_ValueError, "the engine's state has %zu bytes, not %zu", uc_context_size(uc) - CONTEXT_HEADER,
                     size);
        return -1;
    }
    if (uc_context_alloc(uc, &context) != UC_ERR_OK || uc_context_save(uc, context) != UC_ERR_OK) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy((char *)context + CONTEXT_HEADER, data, size);
    uc_err err = uc_context_restore(uc, context);
    uc_context_free(context);
    if (err == UC_ERR_OK)
        return 0;
    PyErr_Format(PyExc_RuntimeError, "the engine does not take this state: %s", uc_strerror(err));
    return -1;
}

/* The CPU stands at a sync point of that many instructions, as if it had just come there. */
PyObject *engine_resume(struct engine *e, PyObject *icount)
{
    unsigned long long count = PyLong_AsUnsignedLongLong(icount);
    if (PyErr_Occurred())
        return NULL;
    e->icount = e->entered_at = e->poll_at = count;
    e->block = (struct block){0};
    e->mark = (struct mark){.fresh = true};
    e->stop = STOP_NONE;
    e->deadline = e->target = e->place = NEVER;
    e->broke = e->partial = false;
    uc_ctl_flush_tb(e->uc);
    uc_ctl_flush_tlb(e->uc);
    code_forget(e);
    translations_forget(e);
    Py_RETURN_NONE;
}

/* Rows of (kind, offset, size, value, data) as window_posted() tells them; -1 with an exception set. */
static int read_posted(PyObject *rows, struct access *posted)
{
    int count = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(rows); i++) {
        struct access a = {0};
        unsigned long long value;
        const char *data;
        Py_ssize_t size;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(rows, i), "bIbKy#", &a.kind, &a.offset, &a.size, &value, &data, &size))
            return -1;
        for (Py_ssize_t n = 0; n < (size ? size : 1); n++) {
            if (count == MAX_POSTED) {
                PyErr_SetString(PyExc_ValueError, "more is gathered than a window can hold");
                return -1;
            }
            a.value = size ? (uint8_t)data[n] : value;
            posted[count++] = a;
        }
    }
    return count;
}

/* A window with nothing in it, then with this in it; -1 with an exception set. */
static int restore_window(struct window *w, const Py_buffer *queue, PyObject *rows, bool raised)
{
    memset(w->index, 0, sizeof w->index);
    w->registers = 0;
    w->fifo_head = w->fifo_used = 0;
    w->posted_count = 0;
    int count = read_posted(rows, w->posted);
    if (count < 0)
        return -1;
    if (window_push(w, queue->buf, (size_t)queue->len) < 0) {
        PyErr_SetString(PyExc_ValueError, "more is in the queue than a window can hold");
        return -1;
    }
    w->posted_count = count;
    w->raised = raised;
    return 0;
}

PyObject *engine_restore_window(struct engine *e, PyObject *args)
{
    int number, raised;
    Py_buffer queue;
    PyObject *rows;
    if (!PyArg_ParseTuple(args, "iy*O!p", &number, &queue, &PyList_Type, &rows, &raised))
        return NULL;
    struct window *w = window_at(e, number);
    int failed = !w || restore_window(w, &queue, rows, raised) < 0;
    PyBuffer_Release(&queue);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}
