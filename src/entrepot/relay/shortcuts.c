/* The shortcuts of shortcuts.py, taken in C. Whatever is not as usual is left to the long way: -1.
 *
 * Nothing is read beyond the bytes given and the zero that stands behind those of a bytes object.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define CHUNK_MAX 4096
#define MARKS_MAX 16
#define STARTS_USUAL 5 /* for which the compiler makes a loop of its own */

static inline bool begins(const char *at, const char *end, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(end - at) >= length && !memcmp(at, text, length);
}

/* Whether a line is of the field, whose name is in lower case and ends with its colon. */
static inline bool names(const char *at, const char *end, const char *field)
{
    size_t length = strlen(field);
    return (size_t)(end - at) >= length && (at[length - 1] | 0x20) == field[length - 1]
           && !strncasecmp(at, field, length);
}

/* Where a line ends; NULL where another control character comes first. */
static inline const char *end_of_line(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)at);
        int found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text));
        if (found) {
            at += __builtin_ctz((unsigned)found);
            break;
        }
    }
#endif
    while ((unsigned char)*at >= 0x20)
        at++;
    return at[0] == '\r' && at[1] == '\n' ? at : NULL;
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
    const char *stop = end_of_line(at, end);
    for (; stop && stop > at; stop = end_of_line(at, end)) {
        int initial = *at | 0x20;
        if (initial == 'c') {
            if (names(at, stop, "content-length")) {
                if (length >= 0 || !begins(at + 14, stop, ": ") || (length = number(at + 16, stop)) < 0)
                    return -1;
            } else if (names(at, stop, "content-encoding")
                       || (names(at, stop, "connection") && strncasecmp(at + 10, ": keep-alive\r", 13))) {
                return -1;
            }
        } else if (initial == 't' && names(at, stop, "transfer-encoding")) {
            return -1;
        }
        at = stop + 2;
    }
    if (!stop)
        return -1;
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

/* How lines of data and the marks of one tuple begin, kept for as long as the tuple comes again; none where they cannot
 * be looked for so. Up to STARTS_USUAL the first stands there as often as it takes. */
static PyObject *starts_of;
static char starts[MARKS_MAX + 1][2];
static int starts_met;

static void add_start(const char *start)
{
    for (int number = 0; number < starts_met; number++)
        if (!memcmp(starts[number], start, 2))
            return;
    memcpy(starts[starts_met++], start, 2);
}

static bool learn(PyObject *marks)
{
    if (!PyTuple_CheckExact(marks) || PyTuple_GET_SIZE(marks) > MARKS_MAX)
        return false;
    bool usable = true;
    starts_met = 0;
    add_start("\nd");
    for (Py_ssize_t number = 0; number < PyTuple_GET_SIZE(marks); number++) {
        PyObject *mark = PyTuple_GET_ITEM(marks, number);
        if (!PyBytes_CheckExact(mark)) {
            Py_CLEAR(starts_of);
            return false;
        }
        usable = usable && PyBytes_GET_SIZE(mark) >= 2;
        if (usable)
            add_start(PyBytes_AS_STRING(mark));
    }
    for (int number = starts_met; number < STARTS_USUAL; number++)
        memcpy(starts[number], starts[0], 2);
    if (!usable)
        starts_met = 0;
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

/* Counts what begins at a place: whether it is no mark. */
static inline bool is_content(const char *at, const char *end, PyObject *marks, long *lines)
{
    if (is_mark(at, end, marks))
        return false;
    *lines += begins(at, end, "\ndata:");
    return true;
}

/* How many lines of data there are where no mark is, else -1. count: of starts, of which only what stands at one of them
 * is looked at. */
static inline long lines_in(const char *at, const char *end, PyObject *marks, int count)
{
    long lines = 0;
#ifdef __SSE2__
    const char *last = end - 16; /* The zero behind the bytes is the byte next to the last one. */
    for (bool whole = last >= at; whole && at < end; at += 16) {
        const char *from = at < last ? at : last;
        __m128i text = _mm_loadu_si128((const __m128i *)from), next = _mm_loadu_si128((const __m128i *)(from + 1));
        __m128i starting = _mm_setzero_si128();
#pragma GCC unroll 5
        for (int number = 0; number < count; number++) {
            __m128i first = _mm_cmpeq_epi8(text, _mm_set1_epi8(starts[number][0]));
            __m128i second = _mm_cmpeq_epi8(next, _mm_set1_epi8(starts[number][1]));
            starting = _mm_or_si128(starting, _mm_and_si128(first, second));
        }
        unsigned places = (unsigned)_mm_movemask_epi8(starting) >> (at - from) << (at - from);
        for (; places; places &= places - 1)
            if (!is_content(from + __builtin_ctz(places), end, marks, &lines))
                return -1;
    }
#endif
    for (; at < end; at++) {
        bool starting_here = false;
        for (int number = 0; number < count; number++)
            starting_here |= !memcmp(at, starts[number], 2);
        if (starting_here && !is_content(at, end, marks, &lines))
            return -1;
    }
    return lines;
}

static PyObject *lines_of_content(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(given[0]) || (given[1] != starts_of && !learn(given[1])))
        return PyErr_Format(PyExc_TypeError, "data is bytes, marks are a tuple of them");
    const char *start = PyBytes_AS_STRING(given[0]), *end = start + PyBytes_GET_SIZE(given[0]);
    const char *at = payload_of(start, end);
    if (!at || !starts_met)
        return PyLong_FromLong(-1);
    at--; /* the line end before the payload */
    return PyLong_FromLong(starts_met <= STARTS_USUAL ? lines_in(at, end, given[1], STARTS_USUAL)
                                                      : lines_in(at, end, given[1], starts_met));
}

/* ---- requests */

#define LENGTH "\r\nContent-Length: "
#define DIGITS_MAX 20

static char *put(char *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static PyObject *request_of(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 3 || !PyBytes_CheckExact(given[0]) || !PyUnicode_Check(given[1]) || !PyBytes_CheckExact(given[2]))
        return PyErr_Format(PyExc_TypeError, "head, request_id, body");
    if (!PyUnicode_IS_COMPACT_ASCII(given[1]))
        Py_RETURN_NONE;
    size_t head = (size_t)PyBytes_GET_SIZE(given[0]), id = (size_t)PyUnicode_GET_LENGTH(given[1]);
    size_t body = (size_t)PyBytes_GET_SIZE(given[2]), rest = body;
    char digits[DIGITS_MAX], *first = digits + DIGITS_MAX;
    do
        *--first = (char)('0' + rest % 10);
    while (rest /= 10);
    size_t length = (size_t)(digits + DIGITS_MAX - first);
    size_t size = head + id + sizeof LENGTH - 1 + length + 4 + body;
    PyObject *request = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!request)
        return NULL;
    char *at = put(PyBytes_AS_STRING(request), PyBytes_AS_STRING(given[0]), head);
    at = put(at, PyUnicode_1BYTE_DATA(given[1]), id);
    at = put(at, LENGTH, sizeof LENGTH - 1);
    at = put(at, first, length);
    at = put(at, "\r\n\r\n", 4);
    put(at, PyBytes_AS_STRING(given[2]), body);
    return request;
}

static PyMethodDef functions[] = {
    {"lines_of_content", (PyCFunction)(void (*)(void))lines_of_content, METH_FASTCALL, NULL},
    {"request_of", (PyCFunction)(void (*)(void))request_of, METH_FASTCALL, NULL},
    {"whole_answer", whole_answer, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.relay.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    return PyModule_Create(&module);
}
