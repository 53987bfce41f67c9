/* The twin in C of clocks.py, which says what it is for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <time.h>

typedef struct {
    PyObject_HEAD
    long long ahead;
} Clock;

static PyObject *now(PyObject *self, PyObject *Py_UNUSED(none))
{
    struct timespec at;
    if (clock_gettime(CLOCK_REALTIME, &at))
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyLong_FromLongLong((long long)at.tv_sec * 1000000 + at.tv_nsec / 1000 + ((Clock *)self)->ahead);
}

static PyObject *go_ahead(PyObject *self, PyObject *by)
{
    long long further = PyLong_AsLongLong(by);
    if (further == -1 && PyErr_Occurred())
        return NULL;
    ((Clock *)self)->ahead += further;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"now", now, METH_NOARGS, NULL}, {"go_ahead", go_ahead, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot slots[] = {{Py_tp_methods, methods}, {0, NULL}};
static PyType_Spec spec = {"entrepot.adapters.clocks.SystemClock", sizeof(Clock), 0, Py_TPFLAGS_DEFAULT, slots};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.adapters.clocks", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_clocks(void)
{
    PyObject *made = PyModule_Create(&module), *type = made ? PyType_FromSpec(&spec) : NULL;
    if (made && (!type || PyModule_AddObjectRef(made, "SystemClock", type)))
        Py_CLEAR(made);
    Py_XDECREF(type);
    return made;
}
