/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which parts of guest memory have been written; and whether a few pages have been touched at all.
 *
 * Theory of operation.  A granule is read-only for the host's processor until its first write, whose fault marks it
 * and lets the write happen.  Nothing is protected before the first snapshot, so who takes none pays nothing.
 * A guard is the same for a few pages, and for reads if need be: the first fault in any takes all of them away, so who
 * has a page watched that is busy pays for one.  No process has both.
 */
#include "engine.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The one memory that is watched. */
static struct {
    uint8_t *start;
    size_t size, granule;
    uint8_t *written; /* one byte a granule */
    bool installed;
    struct sigaction before;
} watched;

static size_t granules(void)
{
    return watched.start ? (watched.size + watched.granule - 1) / watched.granule : 0;
}

static struct {
    struct {
        uint8_t *start;
        size_t size;
    } rows[MAX_WATCHES];
    int count;
    volatile sig_atomic_t touched;
} guards;

/* Let a row of granules be written, or not. */
static int protect(size_t from, size_t count, int how)
{
    size_t start = from * watched.granule, size = count * watched.granule;
    if (size > watched.size - start)
        size = watched.size - start;
    return mprotect(watched.start + start, size, how);
}

static int lift_guards(void)
{
    int failed = 0;
    for (int i = 0; i < guards.count; i++)
        failed |= mprotect(guards.rows[i].start, guards.rows[i].size, PROT_READ | PROT_WRITE);
    guards.count = 0;
    return failed;
}

static bool is_guarded(const uint8_t *at)
{
    for (int i = 0; i < guards.count; i++)
        if (at >= guards.rows[i].start && at < guards.rows[i].start + guards.rows[i].size)
            return true;
    return false;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    uint8_t *at = info->si_addr;
    if (is_guarded(at)) {
        int kept = errno;
        guards.touched = 1;
        lift_guards();
        errno = kept;
        return;
    }
    if (watched.start && at >= watched.start && at < watched.start + watched.size) {
        size_t granule = (size_t)(at - watched.start) / watched.granule;
        if (!watched.written[granule]) {
            int kept = errno;
            watched.written[granule] = 1;
            protect(granule, 1, PROT_READ | PROT_WRITE);
            errno = kept;
            return;
        }
    }
    /* Not ours: whoever was there before deals with it, or the process ends when the access is tried again. */
    if (watched.before.sa_flags & SA_SIGINFO)
        watched.before.sa_sigaction(number, info, context);
    else
        sigaction(SIGSEGV, &watched.before, NULL);
}

/* -1 with errno set. */
static int install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (!watched.installed && sigaction(SIGSEGV, &action, &watched.before) < 0)
        return -1;
    watched.installed = true;
    return 0;
}

/* Begin to watch; everything counts as not written.  -1 with errno set. */
static int begin(uint8_t *start, size_t size, size_t granule)
{
    if (!watched.written && !(watched.written = calloc(size / granule + 1, 1)))
        return -1;
    if (install() < 0)
        return -1;
    watched.start = start;
    watched.size = size;
    watched.granule = granule;
    memset(watched.written, 0, granules());
    return protect(0, granules(), PROT_READ);
}

static void forget(void)
{
    free(watched.written);
    watched.written = watched.start = NULL;
}

PyObject *watch_writes(PyObject *module, PyObject *args)
{
    unsigned long long start, size, granule;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKK", &start, &size, &granule))
        return NULL;
    if (!size || size % PAGE_SIZE || !granule || granule % PAGE_SIZE) {
        PyErr_SetString(PyExc_ValueError, "memory is watched in whole pages, and in granules of whole pages");
        return NULL;
    }
    /* Another memory takes the place of the one before, which may not be there any more. */
    if (watched.start && (size != watched.size || granule != watched.granule)) {
        protect(0, granules(), PROT_READ | PROT_WRITE);
        forget();
    }
    if (begin((uint8_t *)(uintptr_t)start, size, granule) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyObject *unwatch(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    if (watched.start && protect(0, granules(), PROT_READ | PROT_WRITE) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    forget();
    Py_RETURN_NONE;
}

static int append(PyObject *list, size_t value)
{
    PyObject *number = PyLong_FromSize_t(value);
    int failed = !number || PyList_Append(list, number) < 0;
    Py_XDECREF(number);
    return failed ? -1 : 0;
}

/* The numbers of the granules that were written, in order; they count as not written from now on. */
PyObject *take_written(PyObject *module, PyObject *none)
{
    size_t count = granules();
    PyObject *list = PyList_New(0);
    (void)module, (void)none;
    for (size_t at = 0; list && at < count; at++) {
        size_t from = at;
        for (; list && at < count && watched.written[at]; at++) {
            watched.written[at] = 0;
            if (append(list, at) < 0)
                Py_CLEAR(list);
        }
        if (at > from && protect(from, at - from, PROT_READ) < 0) {
            Py_CLEAR(list);
            PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    return list;
}

static int set_guard(PyObject *item)
{
    unsigned long long start, size;
    int reads;
    if (!PyArg_ParseTuple(item, "KKp", &start, &size, &reads))
        return -1;
    if (!size || start % PAGE_SIZE || size % PAGE_SIZE) {
        PyErr_SetString(PyExc_ValueError, "guards are whole pages");
        return -1;
    }
    if (mprotect((void *)(uintptr_t)start, size, reads ? PROT_NONE : PROT_READ) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    guards.rows[guards.count].start = (uint8_t *)(uintptr_t)start;
    guards.rows[guards.count++].size = size;
    return 0;
}

PyObject *set_guards(PyObject *module, PyObject *ranges)
{
    Py_ssize_t count = PySequence_Length(ranges);
    (void)module;
    if (count < 0)
        return NULL;
    if (count > MAX_WATCHES)
        return PyErr_Format(PyExc_ValueError, "at most %u guards", MAX_WATCHES);
    if (lift_guards() || install() < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    guards.touched = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(ranges, i);
        int failed = !item || set_guard(item) < 0;
        Py_XDECREF(item);
        if (failed) {
            lift_guards();
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

PyObject *guards_touched(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return PyBool_FromLong(guards.touched);
}
