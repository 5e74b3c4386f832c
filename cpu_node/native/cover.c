/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which blocks have been translated, and so executed: the translator translates what is about to run.
 * Off, it costs a test for each translation. */
#include "engine.h"
#include <stdlib.h>

struct cover {
    size_t used, room;
    struct covered {
        uint64_t pc;
        uint32_t size;
    } rows[];
};

enum { FIRST_ROOM = 1 << 14 };

void cover_block(struct engine *e, uint64_t pc, uint32_t size)
{
    struct cover *cover = e->cover;
    if (cover->used == cover->room) {
        size_t room = 2 * cover->room;
        struct cover *more = realloc(cover, sizeof *cover + room * sizeof cover->rows[0]);
        if (!more) /* what is not noted is said to be not covered */
            return;
        e->cover = cover = more;
        cover->room = room;
    }
    cover->rows[cover->used++] = (struct covered){pc, size};
}

PyObject *engine_cover(PyObject *self, PyObject *none)
{
    struct engine *e = (struct engine *)self;
    (void)none;
    if (!e->cover) {
        e->cover = malloc(sizeof *e->cover + FIRST_ROOM * sizeof e->cover->rows[0]);
        if (!e->cover)
            return PyErr_NoMemory();
        *e->cover = (struct cover){0, FIRST_ROOM};
    }
    Py_RETURN_NONE;
}

PyObject *engine_covered(PyObject *self, PyObject *none)
{
    struct engine *e = (struct engine *)self;
    PyObject *set = PySet_New(NULL);
    (void)none;
    for (size_t i = 0; set && e->cover && i < e->cover->used; i++) {
        PyObject *row = Py_BuildValue("(KI)", (unsigned long long)e->cover->rows[i].pc, e->cover->rows[i].size);
        if (!row || PySet_Add(set, row) < 0)
            Py_CLEAR(set);
        Py_XDECREF(row);
    }
    PyObject *list = set ? PySequence_List(set) : NULL;
    Py_XDECREF(set);
    if (list && PyList_Sort(list) < 0)
        Py_CLEAR(list);
    return list;
}
