/* The shortcuts of shortcuts.py, taken in C. Whatever is not as usual is left to the long way: None.
 *
 * Nothing here allocates but what it returns, and nothing is read beyond the bytes given: every step is bounded by end.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define DEPTH_MAX 64
#define KEYS_MAX 48
#define DIGITS_MAX 15 /* fits 64 bits with room for a sum */

/* ---- JSON: a strict walk over an object. What it takes, every JSON reader takes. */

typedef struct {
    const unsigned char *at, *end;
} Walk;

typedef struct {
    const char *at;
    Py_ssize_t length;
} Text;

static inline void skip_space(Walk *w)
{
    while (w->at < w->end && *w->at <= ' ' && (*w->at == ' ' || *w->at == '\n' || *w->at == '\r' || *w->at == '\t'))
        w->at++;
}

static inline bool take(Walk *w, char byte)
{
    skip_space(w);
    if (w->at >= w->end || *w->at != (unsigned char)byte)
        return false;
    w->at++;
    return true;
}

/* The number that four hexadecimal digits write; -1 for anything else. */
static int unit_of(Walk *w)
{
    int unit = 0;
    if (w->end - w->at < 4)
        return -1;
    for (int digit = 0; digit < 4; digit++, w->at++) {
        int letter = *w->at | 0x20;
        if (*w->at >= '0' && *w->at <= '9')
            unit = unit * 16 + *w->at - '0';
        else if (letter >= 'a' && letter <= 'f')
            unit = unit * 16 + letter - 'a' + 10;
        else
            return -1;
    }
    return unit;
}

/* At a backslash. Surrogates come in pairs. */
static bool skip_escape(Walk *w)
{
    if (w->end - w->at < 2)
        return false;
    w->at += 2;
    if (w->at[-1] != 'u')
        return w->at[-1] && strchr("\"\\/bfnrt", w->at[-1]);
    int unit = unit_of(w);
    if (unit < 0xd800 || unit > 0xdfff)
        return unit >= 0;
    if (unit > 0xdbff || w->end - w->at < 6 || w->at[0] != '\\' || w->at[1] != 'u')
        return false;
    w->at += 2;
    unit = unit_of(w);
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* The first quote, backslash or control character; with ascii, also the first byte that is none of ASCII's. Or end. */
static inline const unsigned char *stop_of(const unsigned char *at, const unsigned char *end, bool ascii)
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)at);
        __m128i low = ascii ? _mm_cmplt_epi8(text, _mm_set1_epi8(0x20)) /* as signed numbers, which all others are */
                            : _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text);
        __m128i stops = _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')),
                                                       _mm_cmpeq_epi8(text, _mm_set1_epi8('\\'))));
        int found = _mm_movemask_epi8(stops);
        if (found)
            return at + __builtin_ctz((unsigned)found);
    }
#endif
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20 && !(ascii && *at >= 0x80))
        at++;
    return at;
}

/* Behind a string whose quote was taken. */
static bool skip_string(Walk *w)
{
    for (;;) {
        w->at = stop_of(w->at, w->end, false);
        if (w->at >= w->end || *w->at < 0x20)
            return false;
        if (*w->at == '"') {
            w->at++;
            return true;
        }
        if (!skip_escape(w))
            return false;
    }
}

/* A string of ASCII without escapes. */
static bool plain_string(Walk *w, Text *text)
{
    if (!take(w, '"'))
        return false;
    const unsigned char *start = w->at;
    w->at = stop_of(start, w->end, true);
    if (w->at >= w->end || *w->at != '"')
        return false;
    *text = (Text){(const char *)start, w->at - start};
    w->at++;
    return true;
}

/* A string of ASCII, that is, of letters that need no decoding. */
static bool skip_ascii(Walk *w)
{
    if (!take(w, '"'))
        return false;
    for (;;) {
        w->at = stop_of(w->at, w->end, true);
        if (w->at >= w->end)
            return false;
        if (*w->at == '"') {
            w->at++;
            return true;
        }
        if (*w->at != '\\' || w->end - w->at < 2 || w->at[1] == 'u' || !skip_escape(w))
            return false;
    }
}

static bool skip_digits(Walk *w)
{
    const unsigned char *start = w->at;
    while (w->at < w->end && *w->at >= '0' && *w->at <= '9')
        w->at++;
    return w->at > start;
}

static bool skip_number(Walk *w)
{
    if (w->at < w->end && *w->at == '-')
        w->at++;
    const unsigned char *start = w->at;
    if (!skip_digits(w) || (*start == '0' && w->at - start > 1))
        return false;
    if (w->at < w->end && *w->at == '.') {
        w->at++;
        if (!skip_digits(w))
            return false;
    }
    if (w->at < w->end && (*w->at == 'e' || *w->at == 'E')) {
        w->at++;
        if (w->at < w->end && (*w->at == '+' || *w->at == '-'))
            w->at++;
        if (!skip_digits(w))
            return false;
    }
    return true;
}

static inline bool word(Walk *w, const char *text)
{
    size_t length = strlen(text);
    skip_space(w);
    if ((size_t)(w->end - w->at) < length || memcmp(w->at, text, length))
        return false;
    w->at += length;
    return true;
}

static bool skip_value(Walk *w, int depth)
{
    skip_space(w);
    if (w->at >= w->end || depth > DEPTH_MAX)
        return false;
    switch (*w->at) {
    case '"':
        w->at++;
        return skip_string(w);
    case '{':
        w->at++;
        if (take(w, '}'))
            return true;
        do {
            if (!take(w, '"') || !skip_string(w) || !take(w, ':') || !skip_value(w, depth + 1))
                return false;
        } while (take(w, ','));
        return take(w, '}');
    case '[':
        w->at++;
        if (take(w, ']'))
            return true;
        do {
            if (!skip_value(w, depth + 1))
                return false;
        } while (take(w, ','));
        return take(w, ']');
    case 't':
        return word(w, "true");
    case 'f':
        return word(w, "false");
    case 'n':
        return word(w, "null");
    default:
        return skip_number(w);
    }
}

static inline bool is(Text text, const char *name)
{
    return (size_t)text.length == strlen(name) && !memcmp(text.at, name, strlen(name));
}

static inline bool at_end(Walk *w)
{
    skip_space(w);
    return w->at == w->end;
}

/* Begins an object: whether it has a member, which is to be read with next_key. */
static bool begin(Walk *w, bool *empty)
{
    if (!take(w, '{'))
        return false;
    *empty = take(w, '}');
    return true;
}

static inline bool next_key(Walk *w, Text *key)
{
    return plain_string(w, key) && take(w, ':');
}

/* Behind a member: whether another follows (1), the object ends (0), or neither (-1). */
static inline int more(Walk *w, char closing)
{
    return take(w, ',') ? 1 : take(w, closing) ? 0 : -1;
}

static Walk walk(PyObject *bytes)
{
    const unsigned char *start = (const unsigned char *)PyBytes_AS_STRING(bytes);
    return (Walk){start, start + PyBytes_GET_SIZE(bytes)};
}

/* ---- what is given back */

/* A tuple of so many values, which it takes; NULL where one of them could not be made. */
static PyObject *tuple_of(Py_ssize_t size, PyObject **values)
{
    PyObject *made = PyTuple_New(size);
    bool good = made;
    for (Py_ssize_t number = 0; number < size; number++)
        good = good && values[number];
    for (Py_ssize_t number = 0; number < size; number++)
        if (good)
            PyTuple_SET_ITEM(made, number, values[number]);
        else
            Py_XDECREF(values[number]);
    if (!good)
        Py_CLEAR(made);
    return made;
}

/* A text of ASCII. */
static PyObject *text_of(Text text)
{
    PyObject *made = PyUnicode_New(text.length, 127);
    if (made && text.length)
        memcpy(PyUnicode_1BYTE_DATA(made), text.at, (size_t)text.length);
    return made;
}

static PyObject *input_tokens, *output_tokens; /* their names */

static PyObject *meters_of(int64_t prompt, int64_t completion)
{
    PyObject *made = PyDict_New(), *taken = PyLong_FromLongLong(prompt), *given = PyLong_FromLongLong(completion);
    if (made && (!taken || !given || PyDict_SetItem(made, input_tokens, taken) || PyDict_SetItem(made, output_tokens, given)))
        Py_CLEAR(made);
    Py_XDECREF(taken);
    Py_XDECREF(given);
    return made;
}

/* ---- requests */

typedef struct {
    Text model;
    bool stream, told_options, wants_usage;
} Asked;

static bool read_options(Walk *w, Asked *asked)
{
    bool empty;
    int told = 0;
    if (!begin(w, &empty) || empty)
        return false;
    do {
        Text key;
        if (!next_key(w, &key))
            return false;
        if (!is(key, "include_usage")) {
            if (!skip_value(w, 2))
                return false;
        } else if (told++ || !word(w, "true")) {
            return false;
        }
    } while (take(w, ','));
    asked->told_options = asked->wants_usage = told;
    return told && take(w, '}');
}

static bool read_asked(Walk *w, Asked *asked)
{
    Text keys[KEYS_MAX];
    int count = 0, next;
    bool empty;
    if (!begin(w, &empty) || empty)
        return false;
    do {
        if (count == KEYS_MAX || !next_key(w, &keys[count]))
            return false;
        Text key = keys[count++];
        for (int before = 0; before < count - 1; before++)
            if (keys[before].length == key.length && !memcmp(keys[before].at, key.at, (size_t)key.length))
                return false;
        if (is(key, "model")) {
            if (!plain_string(w, &asked->model) || !asked->model.length)
                return false;
        } else if (is(key, "stream")) {
            asked->stream = word(w, "true");
            if (!asked->stream && !word(w, "false") && !word(w, "null"))
                return false;
        } else if (is(key, "stream_options")) {
            if (!read_options(w, asked))
                return false;
        } else if (is(key, "service_tier") || !skip_value(w, 1)) {
            return false;
        }
        next = more(w, '}');
    } while (next > 0);
    return !next && at_end(w) && asked->model.length && (asked->stream || !asked->told_options);
}

static PyObject *asked_for(PyObject *Py_UNUSED(module), PyObject *body)
{
    if (!PyBytes_CheckExact(body))
        return PyErr_Format(PyExc_TypeError, "a body is bytes");
    Walk w = walk(body);
    Asked asked = {{NULL, 0}, false, false, false};
    if (!read_asked(&w, &asked))
        Py_RETURN_NONE;
    Py_ssize_t start = asked.model.at - 1 - PyBytes_AS_STRING(body);
    return tuple_of(5, (PyObject *[]){
                           text_of(asked.model),
                           PyLong_FromSsize_t(start),
                           PyLong_FromSsize_t(start + asked.model.length + 2),
                           PyBool_FromLong(asked.stream),
                           PyBool_FromLong(asked.wants_usage),
                       });
}

/* ---- answers */

static bool read_choice(Walk *w, Text *finish)
{
    bool empty;
    int next, told = 0;
    if (!begin(w, &empty))
        return false;
    if (empty)
        return true;
    do {
        Text key, text;
        if (!next_key(w, &key))
            return false;
        if (is(key, "finish_reason")) {
            if (told++)
                return false;
            if (!word(w, "null")) {
                if (!plain_string(w, &text))
                    return false;
                if (text.length)
                    *finish = text;
            }
        } else if (is(key, "delta")) {
            if (!word(w, "null"))
                return false;
        } else if (is(key, "text")) {
            if (!word(w, "null") && !skip_ascii(w))
                return false;
        } else if (!skip_value(w, 3)) {
            return false;
        }
        next = more(w, '}');
    } while (next > 0);
    return !next;
}

static bool read_choices(Walk *w, Text *finish)
{
    int next;
    if (word(w, "null"))
        return true;
    if (!take(w, '['))
        return false;
    if (take(w, ']'))
        return true;
    do {
        if (!read_choice(w, finish))
            return false;
        next = more(w, ']');
    } while (next > 0);
    return !next;
}

typedef struct {
    Text usage, finish;
    int64_t prompt, completion;
    bool is_plain; /* the usage is, and these two are its meters */
} Answered;

static bool read_usage(Walk *w, int64_t *prompt, int64_t *completion);

/* A usage object, or null. */
static bool read_own_usage(Walk *w, Answered *answered)
{
    skip_space(w);
    const unsigned char *start = w->at;
    if (start >= w->end || (*start != '{' && *start != 'n'))
        return false;
    if (*start == 'n')
        return skip_value(w, 2);
    answered->is_plain = read_usage(w, &answered->prompt, &answered->completion);
    if (!answered->is_plain) {
        w->at = start;
        if (!skip_value(w, 2))
            return false;
    }
    answered->usage = (Text){(const char *)start, w->at - start};
    return true;
}

static bool read_answered(Walk *w, Answered *answered)
{
    bool empty, told_choices = false, told_usage = false;
    int next = 0; /* of an empty object nothing follows */
    if (!begin(w, &empty))
        return false;
    if (!empty)
        do {
            Text key;
            if (!next_key(w, &key))
                return false;
            if (is(key, "choices")) {
                if (told_choices || !read_choices(w, &answered->finish))
                    return false;
                told_choices = true;
            } else if (is(key, "usage")) {
                if (told_usage || !read_own_usage(w, answered))
                    return false;
                told_usage = true;
            } else if (!skip_value(w, 1)) {
                return false;
            }
            next = more(w, '}');
        } while (next > 0);
    return !next && at_end(w);
}

static PyObject *answered(PyObject *Py_UNUSED(module), PyObject *body)
{
    if (!PyBytes_CheckExact(body))
        return PyErr_Format(PyExc_TypeError, "a body is bytes");
    Walk w = walk(body);
    Answered said = {{"", 0}, {"", 0}, 0, 0, false};
    if (!read_answered(&w, &said))
        Py_RETURN_NONE;
    return tuple_of(3, (PyObject *[]){
                           PyBytes_FromStringAndSize(said.usage.at, said.usage.length),
                           text_of(said.finish),
                           said.is_plain ? meters_of(said.prompt, said.completion) : Py_NewRef(Py_None),
                       });
}

/* ---- usage */

/* A whole number that is not negative, or null, which is 0. */
static bool read_number(Walk *w, int64_t *number)
{
    *number = 0;
    if (word(w, "null"))
        return true;
    const unsigned char *start = w->at;
    while (w->at < w->end && *w->at >= '0' && *w->at <= '9' && w->at - start < DIGITS_MAX)
        *number = *number * 10 + (*w->at++ - '0');
    if (w->at == start || (*start == '0' && w->at - start > 1) || w->at >= w->end)
        return false;
    return *w->at == ',' || *w->at == '}' || *w->at == ' ' || *w->at == '\n' || *w->at == '\r' || *w->at == '\t';
}

/* Of a usage object's details: what has a meter of its own. */
static const char *const PROMPT_PARTS[] = {"cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", NULL};
static const char *const COMPLETION_PARTS[] = {"reasoning_tokens", "audio_tokens", "image_tokens", NULL};

/* Details of which all parts are nothing. */
static bool no_parts(Walk *w, const char *const *parts)
{
    bool empty;
    int next;
    if (word(w, "null"))
        return true;
    if (!begin(w, &empty))
        return false;
    if (empty)
        return true;
    do {
        Text key;
        if (!next_key(w, &key))
            return false;
        const char *const *part = parts;
        while (*part && (**part != *key.at || !is(key, *part)))
            part++;
        int64_t number;
        if (*part ? !read_number(w, &number) || number : !skip_value(w, 2))
            return false;
        next = more(w, '}');
    } while (next > 0);
    return !next;
}

static bool read_usage(Walk *w, int64_t *prompt, int64_t *completion)
{
    enum { PROMPT = 1, COMPLETION = 2, TOTAL = 4, ASKED = 8, ANSWERED = 16 };
    int told = 0, next;
    int64_t total = -1;
    bool empty, total_null = false;
    if (!begin(w, &empty) || empty)
        return false;
    do {
        Text key;
        if (!next_key(w, &key))
            return false;
        int member = is(key, "prompt_tokens")               ? PROMPT
                     : is(key, "completion_tokens")         ? COMPLETION
                     : is(key, "total_tokens")              ? TOTAL
                     : is(key, "prompt_tokens_details")     ? ASKED
                     : is(key, "completion_tokens_details") ? ANSWERED
                                                            : 0;
        if (told & member)
            return false;
        told |= member;
        skip_space(w);
        bool null = w->at < w->end && *w->at == 'n';
        bool good = member == PROMPT       ? !null && read_number(w, prompt)
                    : member == COMPLETION ? read_number(w, completion)
                    : member == TOTAL      ? (total_null = null, read_number(w, &total))
                    : member == ASKED      ? no_parts(w, PROMPT_PARTS)
                    : member == ANSWERED   ? no_parts(w, COMPLETION_PARTS)
                                           : skip_value(w, 1);
        if (!good)
            return false;
        next = more(w, '}');
    } while (next > 0);
    if (next || !(told & PROMPT) || *completion <= 0)
        return false;
    return !(told & TOTAL) || total_null || total == *prompt + *completion;
}

static PyObject *text_meters(PyObject *Py_UNUSED(module), PyObject *usage)
{
    if (!PyBytes_CheckExact(usage))
        return PyErr_Format(PyExc_TypeError, "usage is bytes");
    Walk w = walk(usage);
    int64_t prompt = 0, completion = 0;
    if (!read_usage(&w, &prompt, &completion) || !at_end(&w))
        Py_RETURN_NONE;
    return meters_of(prompt, completion);
}

static PyMethodDef functions[] = {
    {"asked_for", asked_for, METH_O, NULL},
    {"answered", answered, METH_O, NULL},
    {"text_meters", text_meters, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.dialects.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    input_tokens = PyUnicode_InternFromString("input_tokens");
    output_tokens = PyUnicode_InternFromString("output_tokens");
    return input_tokens && output_tokens ? PyModule_Create(&module) : NULL;
}
