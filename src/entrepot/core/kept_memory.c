/* The twin in C of kept_memory.py, which says what it is for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static void put32(char *at, uint32_t number)
{
    for (int place = 0; place < 4; place++)
        at[place] = (char)(number >> 8 * place);
}

typedef struct {
    PyObject_HEAD
    PyObject *memory;
    Py_ssize_t start, end;
} Kept;

static void put_bounds(const Kept *kept, const Py_buffer *memory)
{
    char said[8];
    put32(said, (uint32_t)kept->end);
    put32(said + 4, (uint32_t)kept->start);
    uint64_t whole;
    memcpy(&whole, said, sizeof whole);
    __atomic_store_n((uint64_t *)memory->buf, whole, __ATOMIC_RELEASE);
}

static int kept_init(PyObject *self, PyObject *given, PyObject *Py_UNUSED(named))
{
    Kept *kept = (Kept *)self;
    PyObject *memory;
    Py_buffer bytes;
    if (!PyArg_ParseTuple(given, "O", &memory) || PyObject_GetBuffer(memory, &bytes, PyBUF_WRITABLE))
        return -1;
    bool fits = bytes.len >= 8;
    if (fits) {
        Py_XSETREF(kept->memory, Py_NewRef(memory));
        kept->start = kept->end = 8;
        put_bounds(kept, &bytes);
    }
    PyBuffer_Release(&bytes);
    return fits ? 0 : (PyErr_SetString(PyExc_ValueError, "there is no room for the bounds"), -1);
}

/* Moves what is kept to the front, where it must not overlap where it was, for so much more: whether there is room. */
static bool make_room(Kept *kept, const Py_buffer *memory, Py_ssize_t size)
{
    Py_ssize_t live = kept->end - kept->start;
    if (8 + live > kept->start || size > memory->len - 8 - live)
        return false;
    memcpy((char *)memory->buf + 8, (char *)memory->buf + kept->start, (size_t)live);
    kept->start = 8;
    kept->end = 8 + live;
    put_bounds(kept, memory);
    return true;
}

static PyObject *kept_add(PyObject *self, PyObject *frame)
{
    Kept *kept = (Kept *)self;
    Py_buffer memory;
    if (!PyBytes_CheckExact(frame) || !kept->memory)
        return PyErr_Format(PyExc_TypeError, "a frame is bytes");
    if (PyObject_GetBuffer(kept->memory, &memory, PyBUF_WRITABLE))
        return NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(frame);
    bool fits = size <= memory.len - kept->end || make_room(kept, &memory, size);
    if (fits) {
        memcpy((char *)memory.buf + kept->end, PyBytes_AS_STRING(frame), (size_t)size);
        kept->end += size;
        put_bounds(kept, &memory);
    }
    PyBuffer_Release(&memory);
    return PyBool_FromLong(fits);
}

static PyObject *kept_drop(PyObject *self, PyObject *given)
{
    Kept *kept = (Kept *)self;
    Py_buffer memory;
    Py_ssize_t size = PyLong_AsSsize_t(given);
    if (size == -1 && PyErr_Occurred())
        return NULL;
    if (!kept->memory || size < 0 || size > kept->end - kept->start)
        return PyErr_Format(PyExc_ValueError, "there is not as much");
    if (PyObject_GetBuffer(kept->memory, &memory, PyBUF_WRITABLE))
        return NULL;
    kept->start += size;
    if (kept->start == kept->end)
        kept->start = kept->end = 8;
    put_bounds(kept, &memory);
    PyBuffer_Release(&memory);
    Py_RETURN_NONE;
}

static void kept_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(((Kept *)self)->memory);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef kept_methods[] = {
    {"add", kept_add, METH_O, NULL}, {"drop", kept_drop, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot kept_slots[] = {
    {Py_tp_init, kept_init}, {Py_tp_dealloc, kept_dealloc}, {Py_tp_methods, kept_methods}, {0, NULL}};
static PyType_Spec kept_spec = {"entrepot.core.kept_memory.Kept", sizeof(Kept), 0, Py_TPFLAGS_DEFAULT, kept_slots};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.core.kept_memory", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

static int add_type(PyObject *made, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    int failed = !type || PyModule_AddObjectRef(made, name, type);
    Py_XDECREF(type);
    return failed;
}

PyMODINIT_FUNC PyInit_kept_memory(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made && (add_type(made, "Kept", &kept_spec)))
        Py_CLEAR(made);
    return made;
}
