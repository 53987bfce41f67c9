/* The shortcuts of shortcuts.py, in C. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define FOLDS 1
#endif

static PyObject *event_id(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "at_us, instance, sequence");
    int beyond[3];
    long long at_us = PyLong_AsLongLongAndOverflow(given[0], &beyond[0]); /* The quickest of its kind. */
    uint64_t instance = (uint64_t)PyLong_AsLongLongAndOverflow(given[1], &beyond[1]);
    uint64_t sequence = (uint64_t)PyLong_AsLongLongAndOverflow(given[2], &beyond[2]);
    if (PyErr_Occurred())
        return NULL;
    if (at_us < 0 || beyond[0] || beyond[1] || beyond[2])
        return PyErr_Format(PyExc_OverflowError, "no such time, instance or sequence");
    uint64_t high = (uint64_t)at_us / 1000 << 16 | (instance >> 16 & 0xffff);
    uint64_t low = instance << 48 | (sequence & 0xffffffffffff);
    PyObject *id = PyUnicode_New(32, 127);
    if (!id)
        return NULL;
    Py_UCS1 *text = PyUnicode_1BYTE_DATA(id);
    for (int place = 15; place >= 0; place--, high >>= 4, low >>= 4) {
        text[place] = (Py_UCS1)"0123456789abcdef"[high & 15];
        text[place + 16] = (Py_UCS1)"0123456789abcdef"[low & 15];
    }
    return id;
}

/* CRC-32 as zlib has it, eight bytes a step: tables[n][b] is the remainder of byte b with n bytes behind it. */
static uint32_t tables[8][256];

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++)
            rest = rest >> 1 ^ (rest & 1 ? 0xedb88320u : 0);
        tables[0][byte] = rest;
    }
    for (int behind = 1; behind < 8; behind++)
        for (uint32_t byte = 0; byte < 256; byte++)
            tables[behind][byte] = tables[behind - 1][byte] >> 8 ^ tables[0][tables[behind - 1][byte] & 255];
}

static uint32_t rest_of(const unsigned char *at, size_t length, uint32_t rest)
{
    for (; length >= 8; length -= 8, at += 8) {
        rest ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        rest = tables[7][rest & 255] ^ tables[6][rest >> 8 & 255] ^ tables[5][rest >> 16 & 255] ^ tables[4][rest >> 24]
               ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
    }
    while (length--)
        rest = rest >> 8 ^ tables[0][(rest ^ *at++) & 255];
    return rest;
}

#ifdef FOLDS
static bool folds; /* The processor multiplies without carry. */

/* The same, where at least 16 bytes are given, 16 at a step: what came before is multiplied by the remainders of x^192
 * and x^128, its halves apart, which moves it behind the next 16. Source: Gopal et al., "Fast CRC Computation for
 * Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009. */
__attribute__((target("pclmul,sse4.1"))) static uint32_t folded(const unsigned char *at, size_t length, uint32_t rest)
{
    const __m128i further = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i sum = _mm_xor_si128(_mm_loadu_si128((const __m128i *)at), _mm_cvtsi32_si128((int)rest));
    for (at += 16, length -= 16; length >= 16; at += 16, length -= 16) {
        __m128i early = _mm_clmulepi64_si128(sum, further, 0x00), late = _mm_clmulepi64_si128(sum, further, 0x11);
        sum = _mm_xor_si128(_mm_xor_si128(early, late), _mm_loadu_si128((const __m128i *)at));
    }
    unsigned char left[16];
    _mm_storeu_si128((__m128i *)left, sum);
    return rest_of(at, length, rest_of(left, sizeof left, 0));
}
#endif

static uint32_t crc32(const unsigned char *at, size_t length, uint32_t begun)
{
#ifdef FOLDS
    if (folds && length >= 16)
        return ~folded(at, length, ~begun);
#endif
    return ~rest_of(at, length, ~begun);
}

static void put32(char *at, uint32_t number)
{
    for (int place = 0; place < 4; place++)
        at[place] = (char)(number >> 8 * place);
}

static PyObject *frame(PyObject *Py_UNUSED(module), PyObject *payload)
{
    if (!PyBytes_CheckExact(payload))
        return PyErr_Format(PyExc_TypeError, "a payload is bytes");
    Py_ssize_t length = PyBytes_GET_SIZE(payload);
    PyObject *framed = PyBytes_FromStringAndSize(NULL, length + 8);
    if (!framed)
        return NULL;
    char *at = PyBytes_AS_STRING(framed);
    memcpy(at + 8, PyBytes_AS_STRING(payload), (size_t)length);
    put32(at, (uint32_t)length);
    put32(at + 4, crc32((const unsigned char *)at + 8, (size_t)length, (uint32_t)length));
    return framed;
}

/* ---- records: msgspec's structs of the kind array_like, as msgpack, with their frame
 *
 * Where a struct has its fields is learnt from its class when one is met for the first time. Whatever a record holds
 * beside text, whole numbers, bytes, None, and tuples, structs and dicts of them is left to msgspec, and so is what
 * does not fit.
 */

#define KINDS_MAX 64
#define FIELDS_MAX 32
#define RECORD_MAX 4096
#define SHORT_MAX 64 /* what can be written behind a record's end before that is noticed */
#define DEPTH_MAX 4

typedef struct {
    PyTypeObject *type;
    PyObject *tag; /* NULL for none */
    Py_ssize_t fields, at[FIELDS_MAX];
    bool known; /* else it is none of these */
} Kind;

/* From at on there are SHORT_MAX bytes more than up to end, which each value looks at once: so what is shorter needs no
 * look of its own. */
typedef struct {
    unsigned char *at, *end;
} Out;

static Kind kinds[KINDS_MAX];
static int kinds_met;

static bool is_true(PyObject *object, const char *name)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    bool found = value == Py_True;
    Py_XDECREF(value);
    return found;
}

/* Whether the fields of a struct's class are where a C program can read them. May leave an exception behind. */
static bool learn_fields(Kind *kind, PyObject *names, PyObject *settings)
{
    if (!PyTuple_Check(names) || PyTuple_GET_SIZE(names) > FIELDS_MAX || !is_true(settings, "array_like")
        || is_true(settings, "omit_defaults"))
        return false;
    kind->fields = PyTuple_GET_SIZE(names);
    for (Py_ssize_t number = 0; number < kind->fields; number++) {
        PyObject *field = PyObject_GetAttr((PyObject *)kind->type, PyTuple_GET_ITEM(names, number));
        bool readable = field && Py_IS_TYPE(field, &PyMemberDescr_Type)
                        && ((PyMemberDescrObject *)field)->d_member->type == T_OBJECT_EX;
        if (readable)
            kind->at[number] = ((PyMemberDescrObject *)field)->d_member->offset;
        Py_XDECREF(field);
        if (!readable)
            return false;
    }
    kind->tag = PyObject_GetAttrString(settings, "tag");
    if (kind->tag == Py_None)
        Py_CLEAR(kind->tag);
    return !kind->tag || PyUnicode_CheckExact(kind->tag);
}

static const Kind *kind_of(PyObject *record)
{
    for (int number = 0; number < kinds_met; number++)
        if (kinds[number].type == Py_TYPE(record))
            return kinds[number].known ? &kinds[number] : NULL;
    if (kinds_met == KINDS_MAX)
        return NULL;
    Kind *kind = &kinds[kinds_met];
    kind->type = (PyTypeObject *)Py_NewRef(Py_TYPE(record));
    PyObject *names = PyObject_GetAttrString((PyObject *)kind->type, "__struct_fields__");
    PyObject *settings = names ? PyObject_GetAttrString((PyObject *)kind->type, "__struct_config__") : NULL;
    kind->known = settings && learn_fields(kind, names, settings);
    PyErr_Clear();
    Py_XDECREF(names);
    Py_XDECREF(settings);
    kinds_met++;
    return kind->known ? kind : NULL;
}

/* The size bytes of number, the first one last, behind a byte that says what they are. */
static inline void put_number(Out *out, int what, uint64_t number, int size)
{
    *out->at++ = (unsigned char)what;
    while (size--)
        *out->at++ = (unsigned char)(number >> 8 * size);
}

/* What a text, bytes or a group of so many begin with. Each has a form for up to fixed, written in the byte itself. */
static inline bool put_size(Out *out, Py_ssize_t size, Py_ssize_t fixed, int shortest, int what8, int what16)
{
    if (size < fixed)
        *out->at++ = (unsigned char)(shortest | (int)size);
    else if (what8 && size < 0x100)
        put_number(out, what8, (uint64_t)size, 1);
    else if (size < 0x10000)
        put_number(out, what16, (uint64_t)size, 2);
    else
        return false;
    return true;
}

static inline bool put_bytes(Out *out, const void *bytes, Py_ssize_t size)
{
    if (size >= SHORT_MAX / 2 && out->end - out->at < size)
        return false;
    memcpy(out->at, bytes, (size_t)size);
    out->at += size;
    return true;
}

static inline bool put_text(Out *out, PyObject *text)
{
    if (!PyUnicode_IS_COMPACT_ASCII(text))
        return false;
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    return put_size(out, size, 32, 0xa0, 0xd9, 0xda) && put_bytes(out, PyUnicode_1BYTE_DATA(text), size);
}

static inline bool put_int(Out *out, PyObject *value)
{
    int beyond;
    long long number = PyLong_AsLongLongAndOverflow(value, &beyond);
    if (beyond || number < 0)
        return false;
    if (number < 0x80)
        *out->at++ = (unsigned char)number;
    else if (number < 0x10000)
        put_number(out, number < 0x100 ? 0xcc : 0xcd, (uint64_t)number, number < 0x100 ? 1 : 2);
    else
        put_number(out, number >> 32 ? 0xcf : 0xce, (uint64_t)number, number >> 32 ? 8 : 4);
    return true;
}

static bool put_value(Out *out, PyObject *value, int depth);

/* Units by meter, their names in order. */
static bool put_dict(Out *out, PyObject *dict, int depth)
{
    PyObject *key, *value, *before = NULL;
    Py_ssize_t place = 0;
    if (!put_size(out, PyDict_GET_SIZE(dict), 16, 0x80, 0, 0xde))
        return false;
    while (PyDict_Next(dict, &place, &key, &value)) {
        if (!PyUnicode_CheckExact(key) || (before && PyUnicode_Compare(before, key) >= 0)
            || !put_value(out, key, depth) || !put_value(out, value, depth))
            return false;
        before = key;
    }
    return true;
}

static bool put_struct(Out *out, PyObject *record, int depth)
{
    const Kind *kind = kind_of(record);
    if (!kind || !put_size(out, kind->fields + (kind->tag ? 1 : 0), 16, 0x90, 0, 0xdc)
        || (kind->tag && !put_text(out, kind->tag)))
        return false;
    for (Py_ssize_t number = 0; number < kind->fields; number++) {
        PyObject *value = *(PyObject **)((char *)record + kind->at[number]);
        if (!value || !put_value(out, value, depth))
            return false;
    }
    return true;
}

static bool put_value(Out *out, PyObject *value, int depth)
{
    if (out->at > out->end)
        return false;
    if (PyUnicode_CheckExact(value))
        return put_text(out, value);
    if (PyLong_CheckExact(value))
        return put_int(out, value);
    if (PyBytes_CheckExact(value)) {
        Py_ssize_t size = PyBytes_GET_SIZE(value);
        return put_size(out, size, 0, 0, 0xc4, 0xc5) && put_bytes(out, PyBytes_AS_STRING(value), size);
    }
    if (value == Py_None) {
        *out->at++ = 0xc0;
        return true;
    }
    if (depth == DEPTH_MAX)
        return false;
    if (PyDict_CheckExact(value))
        return put_dict(out, value, depth + 1);
    if (PyTuple_CheckExact(value)) {
        bool put = put_size(out, PyTuple_GET_SIZE(value), 16, 0x90, 0, 0xdc);
        for (Py_ssize_t number = 0; put && number < PyTuple_GET_SIZE(value); number++)
            put = put_value(out, PyTuple_GET_ITEM(value, number), depth + 1);
        return put;
    }
    return put_struct(out, value, depth + 1);
}

static PyObject *framed(PyObject *Py_UNUSED(module), PyObject *record)
{
    unsigned char space[RECORD_MAX + SHORT_MAX];
    Out out = {space + 8, space + RECORD_MAX};
    if (!put_struct(&out, record, 0))
        Py_RETURN_NONE;
    size_t length = (size_t)(out.at - space) - 8;
    put32((char *)space, (uint32_t)length);
    put32((char *)space + 4, crc32(space + 8, length, (uint32_t)length));
    return PyBytes_FromStringAndSize((char *)space, (Py_ssize_t)length + 8);
}

static PyMethodDef functions[] = {
    {"event_id", (PyCFunction)(void (*)(void))event_id, METH_FASTCALL, NULL},
    {"frame", frame, METH_O, NULL},
    {"framed", framed, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.core.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    make_tables();
#ifdef FOLDS
    __builtin_cpu_init();
    folds = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
    return PyModule_Create(&module);
}
