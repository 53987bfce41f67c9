/* The shortcuts of shortcuts.py, in C. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>

#define DIGITS_MAX 20
#define LENGTH_DIGITS_MAX 15

typedef struct {
    const char *at;
    Py_ssize_t size;
} Piece;

#define LITERAL(text) ((Piece){text, sizeof text - 1})

/* A text of which each letter is a byte in Latin-1, as in a head. */
static bool piece_of(PyObject *text, Piece *piece)
{
    if (!PyUnicode_CheckExact(text) || PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND)
        return false;
    *piece = (Piece){(const char *)PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text)};
    return true;
}

/* A number's digits, at the end of digits. */
static Piece digits_of(unsigned long long number, char *digits)
{
    char *at = digits + DIGITS_MAX;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return (Piece){at, digits + DIGITS_MAX - at};
}

static PyObject *joined(const Piece *pieces, int count)
{
    Py_ssize_t size = 0;
    for (int number = 0; number < count; number++)
        size += pieces[number].size;
    PyObject *whole = PyBytes_FromStringAndSize(NULL, size);
    if (!whole)
        return NULL;
    char *at = PyBytes_AS_STRING(whole);
    for (int number = 0; number < count; number++) {
        memcpy(at, pieces[number].at, (size_t)pieces[number].size);
        at += pieces[number].size;
    }
    return whole;
}

static PyObject *answer_of(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 6 || !PyBytes_CheckExact(given[5]))
        return PyErr_Format(PyExc_TypeError, "line, media_type, fields, request_id, took_ms, body");
    Piece line, media_type, fields, id, body = {PyBytes_AS_STRING(given[5]), PyBytes_GET_SIZE(given[5])};
    unsigned long long took_ms = PyLong_AsUnsignedLongLong(given[4]);
    if (PyErr_Occurred())
        return NULL;
    if (!piece_of(given[0], &line) || !piece_of(given[1], &media_type) || !piece_of(given[2], &fields)
        || !piece_of(given[3], &id))
        Py_RETURN_NONE;
    char length_digits[DIGITS_MAX], took_digits[DIGITS_MAX];
    const Piece pieces[] = {
        line, LITERAL("\r\nContent-Type: "), media_type,
        LITERAL("\r\nContent-Length: "), digits_of((unsigned long long)body.size, length_digits),
        LITERAL("\r\n"), fields,
        LITERAL("x-request-id: "), id,
        LITERAL("\r\napim-request-id: "), id,
        LITERAL("\r\nopenai-processing-ms: "), digits_of(took_ms, took_digits),
        LITERAL("\r\n\r\n"), body,
    };
    return joined(pieces, sizeof pieces / sizeof *pieces);
}

static PyObject *body_behind(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 3 || !PyBytes_CheckExact(given[0]) || !PyBytes_CheckExact(given[1]) || !PyBytes_CheckExact(given[2]))
        return PyErr_Format(PyExc_TypeError, "data, before, after");
    const char *at = PyBytes_AS_STRING(given[0]), *end = at + PyBytes_GET_SIZE(given[0]);
    Py_ssize_t before = PyBytes_GET_SIZE(given[1]), after = PyBytes_GET_SIZE(given[2]), length = 0;
    if (end - at < before || memcmp(at, PyBytes_AS_STRING(given[1]), (size_t)before))
        Py_RETURN_NONE;
    const char *digits = at += before;
    for (; *at >= '0' && *at <= '9' && at - digits < LENGTH_DIGITS_MAX; at++) /* to the zero behind data at most */
        length = length * 10 + (*at - '0');
    if (at == digits || end - at < after || memcmp(at, PyBytes_AS_STRING(given[2]), (size_t)after)
        || end - at - after != length)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(at + after, length);
}

static PyMethodDef functions[] = {
    {"answer_of", (PyCFunction)(void (*)(void))answer_of, METH_FASTCALL, NULL},
    {"body_behind", (PyCFunction)(void (*)(void))body_behind, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.edge.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    return PyModule_Create(&module);
}
