/* The twin in C of counting.py, which says what it is for. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>

#define BOUNDS_MAX 32
#define COUNTED_MAX (1LL << 44)

/* What is counted of a number. */
static bool counted(PyObject *number, long long *value)
{
    int beyond;
    *value = PyLong_AsLongLongAndOverflow(number, &beyond);
    if (*value == -1 && !beyond && PyErr_Occurred())
        return false;
    if (beyond)
        *value = beyond > 0 ? COUNTED_MAX : 0;
    *value = *value < 0 ? 0 : *value > COUNTED_MAX ? COUNTED_MAX : *value;
    return true;
}

typedef struct {
    PyObject_HEAD
    long long first, sum, numbers[BOUNDS_MAX + 1];
    int doublings, bounds;
} Histogram;

static int histogram_init(PyObject *self, PyObject *given, PyObject *Py_UNUSED(named))
{
    Histogram *histogram = (Histogram *)self;
    long long first;
    int doublings, bounds;
    if (!PyArg_ParseTuple(given, "Lii", &first, &doublings, &bounds))
        return -1;
    if (first < 1 || first > COUNTED_MAX || doublings < 1 || doublings > 8 || bounds < 1 || bounds > BOUNDS_MAX) {
        PyErr_SetString(PyExc_ValueError, "there are no such bounds");
        return -1;
    }
    histogram->first = first;
    histogram->doublings = doublings;
    histogram->bounds = bounds;
    return 0;
}

static PyObject *histogram_count(PyObject *self, PyObject *number)
{
    Histogram *histogram = (Histogram *)self;
    long long value, bound = histogram->first;
    int place = 0;
    if (!counted(number, &value))
        return NULL;
    for (; value > bound && place < histogram->bounds; bound <<= histogram->doublings)
        place++;
    histogram->numbers[place]++;
    histogram->sum += value;
    Py_RETURN_NONE;
}

static PyObject *histogram_numbers(PyObject *self, PyObject *Py_UNUSED(none))
{
    const Histogram *histogram = (Histogram *)self;
    PyObject *numbers = PyList_New(histogram->bounds + 2);
    for (int place = 0; numbers && place < histogram->bounds + 2; place++) {
        PyObject *number =
            PyLong_FromLongLong(place <= histogram->bounds ? histogram->numbers[place] : histogram->sum);
        if (number)
            PyList_SET_ITEM(numbers, place, number);
        else
            Py_CLEAR(numbers);
    }
    return numbers;
}

static void free_instance(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef histogram_methods[] = {
    {"count", histogram_count, METH_O, NULL}, {"numbers", histogram_numbers, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyType_Slot histogram_slots[] = {
    {Py_tp_init, histogram_init}, {Py_tp_dealloc, free_instance}, {Py_tp_methods, histogram_methods}, {0, NULL}};
static PyType_Spec histogram_spec = {
    "entrepot.core.counting.Histogram", sizeof(Histogram), 0, Py_TPFLAGS_DEFAULT, histogram_slots};

/* places: {name: where its number is}. */
typedef struct {
    PyObject_HEAD
    PyObject *places;
    long long *numbers;
} Totals;

static int totals_init(PyObject *self, PyObject *given, PyObject *Py_UNUSED(named))
{
    Totals *totals = (Totals *)self;
    if (!PyArg_ParseTuple(given, ""))
        return -1;
    Py_XSETREF(totals->places, PyDict_New());
    return totals->places ? 0 : -1;
}

/* The number of a name, which is 0 at first. */
static long long *number_of(Totals *totals, PyObject *name)
{
    PyObject *place = totals->places ? PyDict_GetItemWithError(totals->places, name) : NULL;
    if (place)
        return &totals->numbers[PyLong_AsSsize_t(place)];
    if (PyErr_Occurred() || !totals->places)
        return NULL;
    Py_ssize_t next = PyDict_GET_SIZE(totals->places);
    long long *numbers = PyMem_Realloc(totals->numbers, (size_t)(next + 1) * sizeof *numbers);
    if (!numbers)
        return PyErr_NoMemory(), NULL;
    totals->numbers = numbers;
    numbers[next] = 0;
    int failed = !(place = PyLong_FromSsize_t(next)) || PyDict_SetItem(totals->places, name, place);
    Py_XDECREF(place);
    return failed ? NULL : &numbers[next];
}

static PyObject *totals_add(PyObject *self, PyObject *units)
{
    PyObject *name, *number;
    Py_ssize_t at = 0;
    if (!PyDict_CheckExact(units))
        return PyErr_Format(PyExc_TypeError, "units are a dict");
    while (PyDict_Next(units, &at, &name, &number)) {
        long long value, *total = counted(number, &value) ? number_of((Totals *)self, name) : NULL;
        if (!total)
            return NULL;
        *total += value;
    }
    Py_RETURN_NONE;
}

static PyObject *totals_count(PyObject *self, PyObject *name)
{
    long long *total = number_of((Totals *)self, name);
    if (!total)
        return NULL;
    ++*total;
    Py_RETURN_NONE;
}

static PyObject *totals_numbers(PyObject *self, PyObject *Py_UNUSED(none))
{
    Totals *totals = (Totals *)self;
    PyObject *numbers = PyDict_New(), *name, *place;
    Py_ssize_t at = 0;
    while (numbers && totals->places && PyDict_Next(totals->places, &at, &name, &place)) {
        PyObject *number = PyLong_FromLongLong(totals->numbers[PyLong_AsSsize_t(place)]);
        if (!number || PyDict_SetItem(numbers, name, number))
            Py_CLEAR(numbers);
        Py_XDECREF(number);
    }
    return numbers;
}

static void totals_dealloc(PyObject *self)
{
    Py_CLEAR(((Totals *)self)->places);
    PyMem_Free(((Totals *)self)->numbers);
    free_instance(self);
}

static PyMethodDef totals_methods[] = {{"add", totals_add, METH_O, NULL},
                                       {"count", totals_count, METH_O, NULL},
                                       {"numbers", totals_numbers, METH_NOARGS, NULL},
                                       {NULL, NULL, 0, NULL}};
static PyType_Slot totals_slots[] = {
    {Py_tp_init, totals_init}, {Py_tp_dealloc, totals_dealloc}, {Py_tp_methods, totals_methods}, {0, NULL}};
static PyType_Spec totals_spec = {
    "entrepot.core.counting.Totals", sizeof(Totals), 0, Py_TPFLAGS_DEFAULT, totals_slots};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.core.counting", NULL, -1, NULL,
                                    NULL, NULL, NULL, NULL};

static int add_type(PyObject *made, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    int failed = !type || PyModule_AddObjectRef(made, name, type);
    Py_XDECREF(type);
    return failed;
}

PyMODINIT_FUNC PyInit_counting(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made && (add_type(made, "Histogram", &histogram_spec) || add_type(made, "Totals", &totals_spec)))
        Py_CLEAR(made);
    return made;
}
