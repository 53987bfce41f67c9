/* The shortcuts of shortcuts.py, taken in C. Whatever is not as usual is left to the long way: None.
 *
 * Nothing here allocates but what it returns, and nothing is read beyond the bytes given and the zero behind them.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define LONG_STEPS 1
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#define DEPTH_MAX 64
#define KEYS_MAX 48
#define MEMBERS_MAX 16
#define DIGITS_MAX 15 /* fits 64 bits with room for a sum */

/* ---- JSON: a strict walk over an object. What it takes, every JSON reader takes.
 *
 * Each step is given a place and gives the one behind what it took, or NULL where something else is there. Behind the
 * last byte of a bytes object stands a zero, which no step takes: so whoever has looked at each byte before may look at
 * the next one, and a zero within ends a walk as well.
 */

typedef const unsigned char *At;

typedef struct {
    const char *at;
    Py_ssize_t length;
} Text;

static inline At over_space(At at)
{
    while (*at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* A byte, and space before it; NULL for NULL. */
static inline At take(At at, char byte)
{
    if (!at)
        return NULL;
    at = over_space(at);
    return *at == (unsigned char)byte ? at + 1 : NULL;
}

static inline At word(At at, const char *text)
{
    for (at = over_space(at); *text; at++, text++)
        if (*at != (unsigned char)*text)
            return NULL;
    return at;
}

/* Four hexadecimal digits, and the number they write. */
static At take_unit(At at, int *unit)
{
    *unit = 0;
    for (int digit = 0; digit < 4; digit++, at++) {
        int letter = *at | 0x20;
        if (*at >= '0' && *at <= '9')
            *unit = *unit * 16 + *at - '0';
        else if (letter >= 'a' && letter <= 'f')
            *unit = *unit * 16 + letter - 'a' + 10;
        else
            return NULL;
    }
    return at;
}

/* From a backslash on. Surrogates come in pairs. */
static At skip_escape(At at)
{
    int unit;
    if (at[1] != 'u')
        return at[1] && strchr("\"\\/bfnrt", at[1]) ? at + 2 : NULL;
    if (!(at = take_unit(at + 2, &unit)) || unit < 0xd800 || unit > 0xdfff)
        return at;
    if (unit > 0xdbff || at[0] != '\\' || at[1] != 'u' || !(at = take_unit(at + 2, &unit)))
        return NULL;
    return unit >= 0xdc00 && unit <= 0xdfff ? at : NULL;
}

#ifdef __SSE2__
/* Which of 16 bytes are stops, a bit each. */
static inline unsigned stops_in(At at, bool ascii)
{
    __m128i text = _mm_loadu_si128((const __m128i *)at);
    __m128i low = ascii ? _mm_cmplt_epi8(text, _mm_set1_epi8(0x20)) /* as signed numbers, which all others are */
                        : _mm_cmpeq_epi8(_mm_min_epu8(text, _mm_set1_epi8(0x1f)), text);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('"')),
                                                                      _mm_cmpeq_epi8(text, _mm_set1_epi8('\\')))));
}
#endif

/* The first stop: a quote, backslash or control character; with ascii, also a byte that is none of ASCII's. */
static inline At stop_of(At at, At end, bool ascii)
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        unsigned stops = stops_in(at, ascii);
        if (stops)
            return at + __builtin_ctz(stops);
    }
#endif
    while (*at != '"' && *at != '\\' && *at >= 0x20 && !(ascii && *at >= 0x80))
        at++;
    return at;
}

#ifdef LONG_STEPS
static bool steps_long; /* The processor has AVX2. */

/* 64 bytes at a step, as long as none of them is a stop and as many follow: most of what a long request holds. */
__attribute__((target("avx2"))) static At long_steps(At at, At end)
{
    const __m256i control = _mm256_set1_epi8(0x1f), quote = _mm256_set1_epi8('"'), backslash = _mm256_set1_epi8('\\');
    for (; end - at >= 64; at += 64) {
        __m256i one = _mm256_loadu_si256((const __m256i *)at), two = _mm256_loadu_si256((const __m256i *)(at + 32));
        __m256i low = _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_min_epu8(one, control), one),
                                      _mm256_cmpeq_epi8(_mm256_min_epu8(two, control), two));
        __m256i quotes = _mm256_or_si256(_mm256_cmpeq_epi8(one, quote), _mm256_cmpeq_epi8(two, quote));
        __m256i slashes = _mm256_or_si256(_mm256_cmpeq_epi8(one, backslash), _mm256_cmpeq_epi8(two, backslash));
        __m256i stops = _mm256_or_si256(low, _mm256_or_si256(quotes, slashes));
        if (!_mm256_testz_si256(stops, stops))
            break;
    }
    return at;
}
#endif

/* As stop_of, for what may be long. */
static inline At far_stop_of(At at, At end)
{
#ifdef LONG_STEPS
    if (steps_long && end - at >= 80) {
        unsigned stops = stops_in(at, false);
        if (stops)
            return at + __builtin_ctz(stops);
        at = long_steps(at + 16, end);
    }
#endif
    return stop_of(at, end, false);
}

/* The rest of a string whose quote was taken. */
static inline At skip_string(At at, At end)
{
    for (;;) {
        at = far_stop_of(at, end);
        if (*at == '"')
            return at + 1;
        if (*at != '\\' || !(at = skip_escape(at)))
            return NULL;
    }
}

/* A string of ASCII without escapes. */
static inline At plain_string(At at, At end, Text *text)
{
    At start = take(at, '"');
    if (!start)
        return NULL;
    at = stop_of(start, end, true);
    *text = (Text){(const char *)start, at - start};
    return *at == '"' ? at + 1 : NULL;
}

/* A string of ASCII, that is, of letters that need no decoding. */
static At skip_ascii(At at, At end)
{
    if (!(at = take(at, '"')))
        return NULL;
    for (;;) {
        at = stop_of(at, end, true);
        if (*at == '"')
            return at + 1;
        if (*at != '\\' || at[1] == 'u' || !(at = skip_escape(at)))
            return NULL;
    }
}

static inline At skip_digits(At at)
{
    At start = at;
    while (*at >= '0' && *at <= '9')
        at++;
    return at > start ? at : NULL;
}

static At skip_number(At at)
{
    if (*at == '-')
        at++;
    At start = at;
    if (!(at = skip_digits(at)) || (*start == '0' && at - start > 1))
        return NULL;
    if (*at == '.' && !(at = skip_digits(at + 1)))
        return NULL;
    if (*at == 'e' || *at == 'E') {
        at++;
        at = skip_digits(*at == '+' || *at == '-' ? at + 1 : at);
    }
    return at;
}

static At skip_value(At at, At end, int depth);

static At skip_object(At at, At end, int depth)
{
    At empty = take(at, '}');
    if (empty)
        return empty;
    do {
        if (!(at = take(at, '"')) || !(at = take(skip_string(at, end), ':')) || !(at = skip_value(at, end, depth)))
            return NULL;
        at = over_space(at);
    } while (*at++ == ',');
    return at[-1] == '}' ? at : NULL;
}

static At skip_array(At at, At end, int depth)
{
    At empty = take(at, ']');
    if (empty)
        return empty;
    do {
        if (!(at = skip_value(at, end, depth)))
            return NULL;
        at = over_space(at);
    } while (*at++ == ',');
    return at[-1] == ']' ? at : NULL;
}

static At skip_value(At at, At end, int depth)
{
    at = over_space(at);
    if (depth > DEPTH_MAX)
        return NULL;
    switch (*at) {
    case '"':
        return skip_string(at + 1, end);
    case '{':
        return skip_object(at + 1, end, depth + 1);
    case '[':
        return skip_array(at + 1, end, depth + 1);
    case 't':
        return word(at, "true");
    case 'f':
        return word(at, "false");
    case 'n':
        return word(at, "null");
    default:
        return skip_number(at);
    }
}

static inline bool is(Text text, const char *name)
{
    return (size_t)text.length == strlen(name) && !memcmp(text.at, name, strlen(name));
}

/* The first key of an object, or, where it is empty, its end. */
static inline At begin(At at, bool *empty)
{
    At end;
    if (!(at = take(at, '{')))
        return NULL;
    *empty = (end = take(at, '}'));
    return *empty ? end : at;
}

static inline At next_key(At at, At end, Text *key)
{
    return take(plain_string(at, end, key), ':');
}

/* The next key, which is none of so many before it. */
static inline At new_key(At at, At end, Text *keys, int count)
{
    if (!(at = next_key(at, end, &keys[count])))
        return NULL;
    for (int before = 0; before < count; before++)
        if (keys[before].length == keys[count].length
            && !memcmp(keys[before].at, keys[count].at, (size_t)keys[count].length))
            return NULL;
    return at;
}

/* What is behind a member: a comma, and then there is one more, or the end. NULL for NULL. */
static inline At go_on(At at, char closing, bool *more)
{
    if (!at)
        return NULL;
    at = over_space(at);
    *more = *at == ',';
    return *more || *at == (unsigned char)closing ? at + 1 : NULL;
}

static inline At start_of(PyObject *bytes)
{
    return (At)PyBytes_AS_STRING(bytes);
}

static inline At end_of(PyObject *bytes)
{
    return start_of(bytes) + PyBytes_GET_SIZE(bytes);
}

/* Whether nothing but space follows. */
static inline bool is_end(At at, At end)
{
    return at && over_space(at) == end;
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

static PyObject *input_tokens, *output_tokens, *stop, *standard; /* texts that nearly every answer makes */

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

static At read_options(At at, At end, Asked *asked)
{
    bool empty, more;
    if (!(at = begin(at, &empty)) || empty)
        return NULL;
    do {
        Text key;
        if (!(at = next_key(at, end, &key)))
            return NULL;
        if (!is(key, "include_usage"))
            at = skip_value(at, end, 2);
        else if (asked->wants_usage)
            return NULL;
        else if ((at = word(at, "true")))
            asked->wants_usage = true;
        at = go_on(at, '}', &more);
    } while (at && more);
    asked->told_options = asked->wants_usage;
    return asked->told_options ? at : NULL;
}

static At read_flag(At at, bool *flag)
{
    At behind = word(at, "true");
    *flag = behind;
    return behind || (behind = word(at, "false")) ? behind : word(at, "null");
}

static At read_asked(At at, At end, Asked *asked)
{
    Text keys[KEYS_MAX];
    bool empty, more;
    if (!(at = begin(at, &empty)) || empty)
        return NULL;
    for (int count = 0; count < KEYS_MAX; count++) {
        if (!(at = new_key(at, end, keys, count)))
            return NULL;
        Text key = keys[count];
        if (is(key, "model"))
            at = plain_string(at, end, &asked->model);
        else if (is(key, "stream"))
            at = read_flag(at, &asked->stream);
        else if (is(key, "stream_options"))
            at = read_options(at, end, asked);
        else
            at = is(key, "service_tier") ? NULL : skip_value(at, end, 1);
        if (!(at = go_on(at, '}', &more)) || !more)
            return asked->model.length && (asked->stream || !asked->told_options) ? at : NULL;
    }
    return NULL;
}

static PyObject *asked_for(PyObject *Py_UNUSED(module), PyObject *body)
{
    if (!PyBytes_CheckExact(body))
        return PyErr_Format(PyExc_TypeError, "a body is bytes");
    At end = end_of(body);
    Asked asked = {{NULL, 0}, false, false, false};
    if (!is_end(read_asked(start_of(body), end, &asked), end))
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

/* ---- usage */

/* A whole number that is not negative, or null, which is 0. */
static At read_number(At at, int64_t *number)
{
    *number = 0;
    at = over_space(at);
    if (*at == 'n')
        return word(at, "null");
    At start = at;
    while (*at >= '0' && *at <= '9' && at - start < DIGITS_MAX)
        *number = *number * 10 + (*at++ - '0');
    if (at == start || (*start == '0' && at - start > 1))
        return NULL;
    return *at == ',' || *at == '}' || over_space(at) > at ? at : NULL;
}

/* Of a usage object's details: what has a meter of its own. */
static const char *const PROMPT_PARTS[] = {"cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", NULL};
static const char *const COMPLETION_PARTS[] = {"reasoning_tokens", "audio_tokens", "image_tokens", NULL};

/* Details of which all parts are nothing. */
static At no_parts(At at, At end, const char *const *parts)
{
    bool empty, more;
    At null = word(at, "null");
    if (null || !(at = begin(at, &empty)) || empty)
        return null ? null : at;
    do {
        Text key;
        int64_t number = 0;
        if (!(at = next_key(at, end, &key)))
            return NULL;
        const char *const *part = parts;
        while (*part && (**part != *key.at || !is(key, *part)))
            part++;
        at = *part ? read_number(at, &number) : skip_value(at, end, 2);
        if (number)
            return NULL;
        at = go_on(at, '}', &more);
    } while (at && more);
    return at;
}

static At read_usage(At at, At end, int64_t *prompt, int64_t *completion)
{
    enum { PROMPT = 1, COMPLETION = 2, TOTAL = 4, ASKED = 8, ANSWERED = 16 };
    int told = 0;
    int64_t total = -1;
    bool empty, more, total_null = false;
    if (!(at = begin(at, &empty)) || empty)
        return NULL;
    do {
        Text key;
        if (!(at = next_key(at, end, &key)))
            return NULL;
        int member = is(key, "prompt_tokens")               ? PROMPT
                     : is(key, "completion_tokens")         ? COMPLETION
                     : is(key, "total_tokens")              ? TOTAL
                     : is(key, "prompt_tokens_details")     ? ASKED
                     : is(key, "completion_tokens_details") ? ANSWERED
                                                            : 0;
        if (told & member)
            return NULL;
        told |= member;
        bool null = *(at = over_space(at)) == 'n';
        at = member == PROMPT       ? null ? NULL : read_number(at, prompt)
             : member == COMPLETION ? read_number(at, completion)
             : member == TOTAL      ? (total_null = null, read_number(at, &total))
             : member == ASKED      ? no_parts(at, end, PROMPT_PARTS)
             : member == ANSWERED   ? no_parts(at, end, COMPLETION_PARTS)
                                    : skip_value(at, end, 1);
        at = go_on(at, '}', &more);
    } while (at && more);
    if (!at || !(told & PROMPT) || *completion <= 0)
        return NULL;
    return !(told & TOTAL) || total_null || total == *prompt + *completion ? at : NULL;
}

static PyObject *text_meters(PyObject *Py_UNUSED(module), PyObject *usage)
{
    if (!PyBytes_CheckExact(usage))
        return PyErr_Format(PyExc_TypeError, "usage is bytes");
    At end = end_of(usage);
    int64_t prompt = 0, completion = 0;
    if (!is_end(read_usage(start_of(usage), end, &prompt, &completion), end))
        Py_RETURN_NONE;
    return meters_of(prompt, completion);
}

/* ---- prompts */

/* What a request for text is estimated by. said: how long its answer may get; -1 where it does not say so. */
typedef struct {
    PyObject *texts;
    int64_t messages, names, answers, said;
} Prompt;

#define A_MESSAGE 0 /* How deep in them it stands, */
#define A_VALUE 1   /* and any other value of the request. */

/* As in estimates.py. */
static const char *const NO_TEXT[] = {"image_url", "input_audio", "audio",     "file",
                                      "file_id",   "file_url",    "file_data", "encrypted_content", NULL};
static const char *const SAYS_NOTHING[] = {"type", "id", "detail", "status", "call_id", "tool_call_id", NULL};
static const char *const TEXTS[] = {"prompt", "input", "instructions", "query", "documents", NULL};
static const char *const WRITTEN[] = {"tools", "functions", "response_format", "text", NULL};

static bool is_one_of(Text text, const char *const *names)
{
    while (*names && (**names != *text.at || !is(text, *names)))
        names++;
    return *names;
}

/* Puts a text to those that are counted; false where it is none. */
static bool add_text(Prompt *prompt, const char *start, Py_ssize_t size)
{
    PyObject *text = PyUnicode_DecodeUTF8(start, size, NULL);
    bool added = text && !PyList_Append(prompt->texts, text);
    Py_XDECREF(text);
    return added;
}

static char *put_letter(char *out, int letter)
{
    if (letter < 0x80) {
        *out++ = (char)letter;
        return out;
    }
    if (letter < 0x800) {
        *out++ = (char)(0xc0 | letter >> 6);
    } else {
        if (letter < 0x10000) {
            *out++ = (char)(0xe0 | letter >> 12);
        } else {
            *out++ = (char)(0xf0 | letter >> 18);
            *out++ = (char)(0x80 | (letter >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (letter >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (letter & 0x3f));
    return out;
}

/* What a string says whose escapes were all looked at, which is never longer than it is written. */
static char *unescaped(At at, At end, char *out)
{
    static const char marks[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    while (at < end) {
        At escape = memchr(at, '\\', (size_t)(end - at));
        At plain = escape ? escape : end;
        memcpy(out, at, (size_t)(plain - at));
        out += plain - at;
        if (!escape)
            break;
        if (escape[1] != 'u') {
            *out++ = meanings[strchr(marks, escape[1]) - marks];
            at = escape + 2;
            continue;
        }
        int letter, low;
        at = take_unit(escape + 2, &letter);
        if (letter >= 0xd800 && letter <= 0xdfff) {
            at = take_unit(at + 2, &low);
            letter = 0x10000 + ((letter - 0xd800) << 10) + (low - 0xdc00);
        }
        out = put_letter(out, letter);
    }
    return out;
}

/* The rest of a string whose quote was taken, as a text. */
static At read_text(At at, At end, Prompt *prompt)
{
    At behind = skip_string(at, end);
    if (!behind)
        return NULL;
    Py_ssize_t size = behind - 1 - at;
    if (!memchr(at, '\\', (size_t)size))
        return add_text(prompt, (const char *)at, size) ? behind : NULL;
    char *said = PyMem_Malloc((size_t)size);
    bool added = said && add_text(prompt, said, unescaped(at, behind - 1, said) - said);
    PyMem_Free(said);
    return added ? behind : NULL;
}

/* The texts of a value, wherever in it they are. A value that is neither text nor nothing is left to the long way. */
static At read_texts(At at, At end, int depth, Prompt *prompt)
{
    Text keys[MEMBERS_MAX];
    bool empty = false, more;
    at = over_space(at);
    if (*at == '"')
        return read_text(at + 1, end, prompt);
    if ((*at != '[' && *at != '{') || depth > DEPTH_MAX)
        return word(at, "null");
    if (*at == '[') {
        At none = take(++at, ']');
        if (none)
            return none;
        do
            at = go_on(read_texts(at, end, depth + 1, prompt), ']', &more);
        while (at && more);
        return at;
    }
    at = begin(at, &empty);
    if (empty)
        return at;
    for (int count = 0; count < MEMBERS_MAX; count++) {
        if (!(at = new_key(at, end, keys, count)) || is_one_of(keys[count], NO_TEXT))
            return NULL;
        prompt->names += depth == A_MESSAGE && is(keys[count], "name");
        at = is_one_of(keys[count], SAYS_NOTHING) ? skip_value(at, end, depth + 1)
                                                  : read_texts(at, end, depth + 1, prompt);
        if (!(at = go_on(at, '}', &more)) || !more)
            return at;
    }
    return NULL;
}

static At read_messages(At at, At end, Prompt *prompt)
{
    bool more;
    At none;
    if (!(at = take(at, '[')) || (none = take(at, ']')))
        return NULL;
    do {
        prompt->messages++;
        at = *(at = over_space(at)) == '{' ? go_on(read_texts(at, end, A_MESSAGE, prompt), ']', &more) : NULL;
    } while (at && more);
    return at;
}

/* A value as it is written, as a text. */
static At read_written(At at, At end, Prompt *prompt)
{
    At start = over_space(at);
    at = skip_value(start, end, A_VALUE);
    return at && add_text(prompt, (const char *)start, at - start) ? at : NULL;
}

static At read_prompt(At at, At end, Prompt *prompt)
{
    Text keys[KEYS_MAX];
    int64_t completion = 0, output = 0, tokens = -1, n = 0, best_of = 0;
    bool empty, more = true;
    if (!(at = begin(at, &empty)) || empty)
        return NULL;
    for (int count = 0; more; count++) {
        if (count == KEYS_MAX || !(at = new_key(at, end, keys, count)))
            return NULL;
        Text key = keys[count];
        int64_t *number = is(key, "max_completion_tokens") ? &completion
                          : is(key, "max_output_tokens")   ? &output
                          : is(key, "max_tokens")          ? &tokens
                          : is(key, "n")                   ? &n
                          : is(key, "best_of")             ? &best_of
                                                           : NULL;
        bool null = *(at = over_space(at)) == 'n';
        at = number && !null         ? read_number(at, number)
             : is(key, "messages")   ? read_messages(at, end, prompt)
             : is_one_of(key, TEXTS) ? read_texts(at, end, A_VALUE, prompt)
             : is_one_of(key, WRITTEN) ? read_written(at, end, prompt)
                                       : skip_value(at, end, A_VALUE);
        if (!(at = go_on(at, '}', &more)))
            return NULL;
    }
    prompt->said = completion ? completion : output ? output : tokens;
    prompt->answers = n > best_of ? n : best_of;
    return at;
}

static PyObject *prompted(PyObject *Py_UNUSED(module), PyObject *body)
{
    if (!PyBytes_CheckExact(body))
        return PyErr_Format(PyExc_TypeError, "a body is bytes");
    At end = end_of(body);
    Prompt prompt = {PyList_New(0), 0, 0, 0, 0};
    if (prompt.texts && is_end(read_prompt(start_of(body), end, &prompt), end))
        return tuple_of(5, (PyObject *[]){
                               prompt.texts,
                               PyLong_FromLongLong(prompt.messages),
                               PyLong_FromLongLong(prompt.names),
                               PyLong_FromLongLong(prompt.answers),
                               PyLong_FromLongLong(prompt.said),
                           });
    Py_XDECREF(prompt.texts);
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
        return NULL;
    PyErr_Clear();
    Py_RETURN_NONE;
}

/* ---- answers */

typedef struct {
    Text usage, finish, tier;
    int64_t prompt, completion;
    bool is_plain; /* the usage is, and these two are its meters */
} Answered;

/* A string without escapes, or null, which says no more than an empty one. */
static At read_name(At at, At end, Text *name)
{
    Text text;
    At null = word(at, "null");
    if (null)
        return null;
    if ((at = plain_string(at, end, &text)) && text.length)
        *name = text;
    return at;
}

static At read_choice(At at, At end, Text *finish)
{
    bool empty, more, told = false;
    if (!(at = begin(at, &empty)) || empty)
        return at;
    do {
        Text key;
        if (!(at = next_key(at, end, &key)))
            return NULL;
        if (is(key, "finish_reason")) {
            at = told ? NULL : read_name(at, end, finish);
            told = true;
        } else if (is(key, "delta")) {
            at = word(at, "null");
        } else if (is(key, "text")) {
            At null = word(at, "null");
            at = null ? null : skip_ascii(at, end);
        } else {
            at = skip_value(at, end, 3);
        }
        at = go_on(at, '}', &more);
    } while (at && more);
    return at;
}

static At read_choices(At at, At end, Text *finish)
{
    bool more;
    At none = word(at, "null");
    if (none || !(at = take(at, '[')) || (none = take(at, ']')))
        return none;
    do
        at = go_on(read_choice(at, end, finish), ']', &more);
    while (at && more);
    return at;
}

/* A usage object, or null. */
static At read_own_usage(At at, At end, Answered *answered)
{
    At start = over_space(at);
    if (*start != '{')
        return word(start, "null");
    at = read_usage(start, end, &answered->prompt, &answered->completion);
    answered->is_plain = at;
    if (!at && !(at = skip_value(start, end, 2)))
        return NULL;
    answered->usage = (Text){(const char *)start, at - start};
    return at;
}

static At read_answered(At at, At end, Answered *answered)
{
    bool empty, more, told_choices = false, told_usage = false, told_tier = false;
    if (!(at = begin(at, &empty)) || empty)
        return at;
    do {
        Text key;
        if (!(at = next_key(at, end, &key)))
            return NULL;
        if (is(key, "choices")) {
            at = told_choices ? NULL : read_choices(at, end, &answered->finish);
            told_choices = true;
        } else if (is(key, "usage")) {
            at = told_usage ? NULL : read_own_usage(at, end, answered);
            told_usage = true;
        } else if (is(key, "service_tier")) {
            at = told_tier ? NULL : read_name(at, end, &answered->tier);
            told_tier = true;
        } else {
            at = is(key, "error") ? word(at, "null") : skip_value(at, end, 1);
        }
        at = go_on(at, '}', &more);
    } while (at && more);
    return at;
}

static PyObject *answered(PyObject *Py_UNUSED(module), PyObject *body)
{
    if (!PyBytes_CheckExact(body))
        return PyErr_Format(PyExc_TypeError, "a body is bytes");
    At end = end_of(body);
    Answered said = {{"", 0}, {"", 0}, {"", 0}, 0, 0, false};
    if (!is_end(read_answered(start_of(body), end, &said), end))
        Py_RETURN_NONE;
    return tuple_of(4, (PyObject *[]){
                           PyBytes_FromStringAndSize(said.usage.at, said.usage.length),
                           is(said.finish, "stop") ? Py_NewRef(stop) : text_of(said.finish),
                           said.is_plain ? meters_of(said.prompt, said.completion) : Py_NewRef(Py_None),
                           is(said.tier, "default") ? Py_NewRef(standard) : text_of(said.tier),
                       });
}

static PyObject *has_more_values(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyBytes_CheckExact(arguments[0]))
        return PyErr_Format(PyExc_TypeError, "a body, which is bytes, and a number are needed");
    long long most = PyLong_AsLongLong(arguments[1]), values = 0;
    if (most == -1 && PyErr_Occurred())
        return NULL;
    for (const char *mark = ",[{"; *mark; mark++) {
        At at = start_of(arguments[0]), end = end_of(arguments[0]);
        while (values <= most && (at = memchr(at, *mark, end - at))) {
            values += *mark == ',' ? 1 : 4;
            at++;
        }
    }
    return PyBool_FromLong(values > most);
}

static PyMethodDef functions[] = {
    {"asked_for", asked_for, METH_O, NULL},
    {"answered", answered, METH_O, NULL},
    {"prompted", prompted, METH_O, NULL},
    {"text_meters", text_meters, METH_O, NULL},
    {"has_more_values", (PyCFunction)(void (*)(void))has_more_values, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "entrepot.dialects.shortcuts", NULL, -1, functions,
                                    NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_shortcuts(void)
{
    input_tokens = PyUnicode_InternFromString("input_tokens");
    output_tokens = PyUnicode_InternFromString("output_tokens");
    stop = PyUnicode_InternFromString("stop");
    standard = PyUnicode_InternFromString("default");
#ifdef LONG_STEPS
    __builtin_cpu_init();
    steps_long = __builtin_cpu_supports("avx2");
#endif
    return input_tokens && output_tokens && stop && standard ? PyModule_Create(&module) : NULL;
}
