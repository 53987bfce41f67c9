/* The shortcuts of shortcuts.py, taken in C. Whatever is not as usual is left to the long way: -1.
 *
 * Nothing is read beyond the bytes given: every step is bounded by end.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define CHUNK_MAX 4096
#define MARKS_MAX 16

static inline bool begins(const char *at, const char *end, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(end - at) >= length && !memcmp(at, text, length);
}

/* Whether a line is of the field, whose name is in lower case and ends with its colon. */
static inline bool names(const char *at, const char *end, const char *field)
{
    size_t length = strlen(field);
    return (size_t)(end - at) >= length && !strncasecmp(at, field, length);
}

/* The number in the rest of a line, digits and nothing else; -1 for anything else. */
static Py_ssize_t number(const char *at, const char *end)
{
    Py_ssize_t found = 0;
    if (at == end || end - at > 15 || (*at == '0' && end - at > 1))
        return -1;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return -1;
        found = found * 10 + (*at - '0');
    }
    return found;
}

/* The offset behind the head; -1 where it is not one of the usual. */
static Py_ssize_t body_of(const char *start, const char *end)
{
    const char *at = start;
    Py_ssize_t length = -1;
    if (!begins(at, end, "HTTP/1.1 200 "))
        return -1;
    for (bool first = true;; first = false) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop || stop == at || stop[-1] != '\r')
            return -1;
        stop--;
        if (stop == at)
            break;
        if (memchr(at, '\r', (size_t)(stop - at)))
            return -1;
        if (!first) {
            if (names(at, stop, "content-length")) {
                if (length >= 0 || !begins(at + 14, stop, ": ") || (length = number(at + 16, stop)) < 0)
                    return -1;
            } else if (names(at, stop, "transfer-encoding") || names(at, stop, "content-encoding")) {
                return -1;
            } else if (names(at, stop, "connection") && strncasecmp(at + 10, ": keep-alive\r", 13)) {
                return -1;
            }
        }
        at = stop + 2;
    }
    at += 2;
    return length == end - at ? at - start : -1;
}

static PyObject *whole_answer(PyObject *Py_UNUSED(module), PyObject *data)
{
    if (!PyBytes_CheckExact(data))
        return PyErr_Format(PyExc_TypeError, "data is bytes");
    const char *start = PyBytes_AS_STRING(data);
    return PyLong_FromSsize_t(body_of(start, start + PyBytes_GET_SIZE(data)));
}

/* What a byte may begin: a mark (1), a line (2); and whether it may be a mark's second byte (4). Made for one tuple of marks, and kept for as long as it comes again. */
static unsigned char starts[256];
static PyObject *starts_of;

static bool learn(PyObject *marks)
{
    if (!PyTuple_CheckExact(marks) || PyTuple_GET_SIZE(marks) > MARKS_MAX)
        return false;
    memset(starts, 0, sizeof starts);
    starts['\n'] = 2;
    for (Py_ssize_t number = 0; number < PyTuple_GET_SIZE(marks); number++) {
        PyObject *mark = PyTuple_GET_ITEM(marks, number);
        if (!PyBytes_CheckExact(mark) || !PyBytes_GET_SIZE(mark)) {
            Py_CLEAR(starts_of);
            return false;
        }
        starts[(unsigned char)*PyBytes_AS_STRING(mark)] |= 1;
        for (int byte = 0; byte < 256; byte++) /* any may follow a mark of one byte */
            if (PyBytes_GET_SIZE(mark) == 1 || byte == (unsigned char)PyBytes_AS_STRING(mark)[1])
                starts[byte] |= 4;
    }
    Py_XSETREF(starts_of, Py_NewRef(marks));
    return true;
}

static bool is_mark(const char *at, const char *end, PyObject *marks)
{
    for (Py_ssize_t number = 0; number < PyTuple_GET_SIZE(marks); number++) {
        const char *mark = PyBytes_AS_STRING(PyTuple_GET_ITEM(marks, number));
        Py_ssize_t length = PyBytes_GET_SIZE(PyTuple_GET_ITEM(marks, number));
        if (length <= end - at && *mark == *at && !memcmp(at, mark, (size_t)length))
            return true;
    }
    return false;
}

/* Where the payload of what is one chunk begins, its size written in digits of lower case; NULL for anything else. */
static const char *payload_of(const char *at, const char *end)
{
    Py_ssize_t size = 0;
    if (at < end && *at == '0')
        return NULL;
    while (at < end && size < CHUNK_MAX && ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f'))) {
        size = size * 16 + (*at <= '9' ? *at - '0' : *at - 'a' + 10);
        at++;
    }
    if (!size || size >= CHUNK_MAX || !begins(at, end, "\r\n") || end - at != size + 4)
        return NULL;
    return size >= 2 && begins(end - 4, end, "\n\n\r\n") ? at + 2 : NULL;
}

static PyObject *lines_of_content(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(given[0]) || (given[1] != starts_of && !learn(given[1])))
        return PyErr_Format(PyExc_TypeError, "data is bytes, marks are a tuple of them");
    const char *start = PyBytes_AS_STRING(given[0]), *end = start + PyBytes_GET_SIZE(given[0]);
    const char *at = payload_of(start, end);
    if (!at)
        return PyLong_FromLong(-1);
    long lines = 0;
    for (at--; at < end; at++) { /* from the line end before the payload */
        unsigned char may = starts[(unsigned char)*at];
        if (!(may & 3))
            continue;
        if (may & 1 && at + 1 < end && starts[(unsigned char)at[1]] & 4 && is_mark(at, end, given[1]))
            return PyLong_FromLong(-1);
        if (may & 2 && begins(at, end, "\ndata:"))
            lines++;
    }
    return PyLong_FromLong(lines);
}

static PyMethodDef functions[] = {
    {"whole_answer", whole_answer, METH_O, NULL},
    {"lines_of_content", (PyCFunction)(void (*)(void))lines_of_content, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.relay.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    return PyModule_Create(&module);
}
