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

/* A buffer with room for what is put into it. */
static inline char *put(char *at, Piece piece)
{
    memcpy(at, piece.at, (size_t)piece.size);
    return at + piece.size;
}

static inline char *put_number(char *at, unsigned long long number)
{
    char digits[DIGITS_MAX];
    return put(at, digits_of(number, digits));
}

/* As _duration of limit_fields.py writes it: 17ms, 5.25s, 6m0s, 1h0m0s. */
static char *put_duration(char *at, unsigned long long us)
{
    unsigned long long ms = us / 1000 + (us % 1000 > 0), seconds = us / 1000000 + (us % 1000000 > 0);
    if (ms < 1000)
        return put(put_number(at, ms), LITERAL("ms"));
    if (us < 60000000) {
        at = put_number(at, ms / 1000);
        if (ms %= 1000) {
            char digits[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10)};
            at = put(at, (Piece){digits, ms % 10 ? 4 : ms % 100 ? 3 : 2});
        }
        return put(at, LITERAL("s"));
    }
    if (seconds >= 3600)
        at = put(put_number(at, seconds / 3600), LITERAL("h"));
    at = put(put_number(at, seconds % 3600 / 60), LITERAL("m"));
    return put(put_number(at, seconds % 60), LITERAL("s"));
}

/* ---- limits */

#define LIMITS_MAX 8
#define MEASURE_MAX 32
#define LIMIT_SIZE_MAX (3 * (sizeof "x-ratelimit-remaining-: \r\n" + MEASURE_MAX + DIGITS_MAX) + DIGITS_MAX)

typedef struct {
    Piece measure;
    unsigned long long units, remaining, reset_us;
} Limit;

/* A whole number that is not negative, of 63 bits at most. */
static bool number_of(PyObject *given, unsigned long long *number)
{
    int beyond = 0;
    long long found = PyLong_CheckExact(given) ? PyLong_AsLongLongAndOverflow(given, &beyond) : -1;
    *number = (unsigned long long)found;
    return found >= 0 && !beyond;
}

static bool limit_of(PyObject *standing, Limit *limit)
{
    return PyTuple_CheckExact(standing) && PyTuple_GET_SIZE(standing) == 4
           && piece_of(PyTuple_GET_ITEM(standing, 0), &limit->measure) && PyUnicode_IS_ASCII(PyTuple_GET_ITEM(standing, 0))
           && limit->measure.size <= MEASURE_MAX && number_of(PyTuple_GET_ITEM(standing, 1), &limit->units)
           && number_of(PyTuple_GET_ITEM(standing, 2), &limit->remaining)
           && number_of(PyTuple_GET_ITEM(standing, 3), &limit->reset_us);
}

static inline bool same(Piece one, Piece other)
{
    return one.size == other.size && !memcmp(one.at, other.at, (size_t)one.size);
}

static char *put_limit(char *at, const Limit *limit, bool is_azure)
{
    at = put(put(put(at, LITERAL("x-ratelimit-limit-")), limit->measure), LITERAL(": "));
    at = put(put_number(at, limit->units), LITERAL("\r\nx-ratelimit-remaining-"));
    at = put(put(at, limit->measure), LITERAL(": "));
    at = put(put_number(at, limit->remaining), LITERAL("\r\nx-ratelimit-reset-"));
    at = put(put(at, limit->measure), LITERAL(": "));
    unsigned long long us = limit->reset_us;
    at = is_azure ? put_number(at, us / 1000000 + (us % 1000000 > 0)) : put_duration(at, us);
    return put(at, LITERAL("\r\n"));
}

static PyObject *rate_limits_of(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyBool_Check(given[1]))
        return PyErr_Format(PyExc_TypeError, "standings, is_azure");
    Limit limits[LIMITS_MAX];
    int known = 0;
    if (!PyList_CheckExact(given[0]) || PyList_GET_SIZE(given[0]) > LIMITS_MAX)
        Py_RETURN_NONE;
    for (Py_ssize_t number = 0; number < PyList_GET_SIZE(given[0]); number++) {
        Limit *limit = &limits[known];
        int before = 0;
        if (!limit_of(PyList_GET_ITEM(given[0], number), limit) || same(limit->measure, LITERAL("load")))
            Py_RETURN_NONE;
        while (before < known && !same(limits[before].measure, limit->measure))
            before++;
        if (before == known)
            known++;
        else if (limit->remaining < limits[before].remaining)
            limits[before] = *limit;
    }
    char lines[LIMITS_MAX * LIMIT_SIZE_MAX], *at = lines;
    for (int number = 0; number < known; number++)
        at = put_limit(at, &limits[number], given[1] == Py_True);
    PyObject *made = PyUnicode_New(at - lines, 127);
    if (made)
        memcpy(PyUnicode_1BYTE_DATA(made), lines, (size_t)(at - lines));
    return made;
}

static PyMethodDef functions[] = {
    {"answer_of", (PyCFunction)(void (*)(void))answer_of, METH_FASTCALL, NULL},
    {"body_behind", (PyCFunction)(void (*)(void))body_behind, METH_FASTCALL, NULL},
    {"rate_limits_of", (PyCFunction)(void (*)(void))rate_limits_of, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.edge.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    return PyModule_Create(&module);
}
