/* The shortcuts of shortcuts.py, in C. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

static PyObject *event_id(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    static const char digits[] = "0123456789abcdef";
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "at_us, instance, sequence");
    unsigned long long at_us = PyLong_AsUnsignedLongLong(given[0]);
    unsigned long long instance = PyLong_AsUnsignedLongLong(given[1]);
    unsigned long long sequence = PyLong_AsUnsignedLongLong(given[2]);
    if (PyErr_Occurred())
        return NULL;
    uint64_t high = (uint64_t)at_us / 1000 << 16 | (instance >> 16 & 0xffff);
    uint64_t low = (uint64_t)instance << 48 | (sequence & 0xffffffffffff);
    PyObject *id = PyUnicode_New(32, 127);
    if (!id)
        return NULL;
    Py_UCS1 *text = PyUnicode_1BYTE_DATA(id);
    for (int place = 0; place < 16; place++) {
        text[15 - place] = (Py_UCS1)digits[high >> 4 * place & 15];
        text[31 - place] = (Py_UCS1)digits[low >> 4 * place & 15];
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

static uint32_t crc32(const unsigned char *at, size_t length, uint32_t begun)
{
    uint32_t rest = ~begun;
    for (; length >= 8; length -= 8, at += 8) {
        rest ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        rest = tables[7][rest & 255] ^ tables[6][rest >> 8 & 255] ^ tables[5][rest >> 16 & 255] ^ tables[4][rest >> 24]
               ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
    }
    while (length--)
        rest = rest >> 8 ^ tables[0][(rest ^ *at++) & 255];
    return ~rest;
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

static PyMethodDef functions[] = {
    {"event_id", (PyCFunction)(void (*)(void))event_id, METH_FASTCALL, NULL},
    {"frame", frame, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.core.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    make_tables();
    return PyModule_Create(&module);
}
