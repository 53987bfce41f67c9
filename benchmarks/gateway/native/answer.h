/* Reads an HTTP/1.1 answer piece by piece, with the stamps of the events in its body. */
#ifndef ANSWER_H
#define ANSWER_H

#include "common.h"

#define HEAD_MAX 8192

enum state { HEAD, SIZED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, COMPLETE, UNREADABLE };

struct answer {
    enum state state;
    int status, events, lost; /* lost: events whose number was passed over, or came again */
    bool closes;
    uint64_t last_event_ns;
    size_t left, body_bytes, line_length, head_length;
    char head[HEAD_MAX], tail[STAMP_LENGTH - 1];
    size_t tail_length; /* the last bytes of the body, where a stamp may have begun */
};

/* Called with the sending time of each event; the answer's last_event_ns is still that of the event before. */
typedef void on_event(struct answer *a, uint64_t sent_ns, uint64_t now);

static inline void begin_answer(struct answer *a)
{
    a->state = HEAD;
    a->status = a->events = a->lost = 0;
    a->closes = false;
    a->last_event_ns = 0;
    a->left = a->body_bytes = a->line_length = a->head_length = a->tail_length = 0;
}

static inline bool is_stamp(const char *at)
{
    return at[0] == '@' && at[1] == 'T' && at[STAMP_LENGTH - 1] == '@';
}

static inline void read_stamp(struct answer *a, const char *at, uint64_t now, on_event *told)
{
    int missed = atoi(at + STAMP_NUMBER) - a->events - a->lost;
    a->lost += missed < 0 ? -missed : missed;
    a->events++;
    told(a, strtoull(at + 2, NULL, 10), now);
    a->last_event_ns = now;
}

/* Reads the stamps in a piece of body, those included that began in the piece before. */
static inline void read_stamps(struct answer *a, const char *bytes, size_t length, uint64_t now, on_event *told)
{
    char seam[2 * STAMP_LENGTH];
    size_t kept = a->tail_length, taken = length < STAMP_LENGTH - 1 ? length : STAMP_LENGTH - 1;
    memcpy(seam, a->tail, kept);
    memcpy(seam + kept, bytes, taken);
    for (size_t i = 0; i < kept && i + STAMP_LENGTH <= kept + taken; i++)
        if (is_stamp(seam + i))
            read_stamp(a, seam + i, now, told);
    const char *at = bytes, *end = bytes + length;
    while ((at = memmem(at, (size_t)(end - at), "@T", 2)) && end - at >= STAMP_LENGTH) {
        if (is_stamp(at))
            read_stamp(a, at, now, told);
        at += 2;
    }
    size_t all = kept + taken, keep = all < STAMP_LENGTH - 1 ? all : STAMP_LENGTH - 1;
    memcpy(a->tail, length > taken ? end - keep : seam + all - keep, keep);
    a->tail_length = keep;
}

/* How many of the bytes belong to the head; the state moves on when the head is complete. */
static inline size_t read_head(struct answer *a, const char *bytes, size_t length)
{
    size_t room = HEAD_MAX - 1 - a->head_length, taken = length < room ? length : room, had = a->head_length;
    memcpy(a->head + had, bytes, taken);
    a->head_length += taken;
    a->head[a->head_length] = 0;
    char *end = memmem(a->head, a->head_length, "\r\n\r\n", 4);
    if (!end) {
        if (a->head_length == HEAD_MAX - 1)
            a->state = UNREADABLE;
        return taken;
    }
    end[2] = 0;
    a->status = a->head_length > 12 ? atoi(a->head + 9) : 0;
    a->closes = strcasestr(a->head, "\r\nconnection: close") != NULL;
    char *size = strcasestr(a->head, "\r\ncontent-length:");
    a->left = size ? strtoul(size + 17, NULL, 10) : 0;
    if (strcasestr(a->head, "\r\ntransfer-encoding: chunked"))
        a->state = CHUNK_SIZE;
    else
        a->state = !size ? UNREADABLE : a->left ? SIZED : COMPLETE;
    return (size_t)(end + 4 - a->head) - had;
}

static inline void read_size_digit(struct answer *a, char digit)
{
    if (digit == '\n')
        a->state = a->left ? CHUNK_DATA : TRAILER;
    else if (digit != '\r')
        a->left = a->left * 16 + (size_t)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
}

static inline size_t read_data(struct answer *a, const char *bytes, size_t length, uint64_t now, on_event *told)
{
    size_t taken = length < a->left ? length : a->left;
    read_stamps(a, bytes, taken, now, told);
    a->body_bytes += taken;
    a->left -= taken;
    if (!a->left && a->state == SIZED)
        a->state = COMPLETE;
    if (!a->left && a->state == CHUNK_DATA) {
        a->state = CHUNK_END;
        a->left = 2;
    }
    return taken;
}

/* The trailer is lines up to an empty one. */
static inline void read_trailer(struct answer *a, char byte)
{
    if (byte == '\n' && !a->line_length)
        a->state = COMPLETE;
    else if (byte != '\r')
        a->line_length = byte == '\n' ? 0 : a->line_length + 1;
}

/* Takes what came in; the answer's state tells how far it is. Bytes behind a complete answer make it unreadable. */
static inline void read_answer(struct answer *a, const char *bytes, size_t length, uint64_t now, on_event *told)
{
    while (length && a->state != UNREADABLE) {
        size_t taken = 1;
        switch (a->state) {
        case HEAD: taken = read_head(a, bytes, length); break;
        case SIZED:
        case CHUNK_DATA: taken = read_data(a, bytes, length, now, told); break;
        case CHUNK_SIZE: read_size_digit(a, *bytes); break;
        case CHUNK_END:
            if (!--a->left)
                a->state = CHUNK_SIZE;
            break;
        case TRAILER: read_trailer(a, *bytes); break;
        default: a->state = UNREADABLE;
        }
        bytes += taken;
        length -= taken;
    }
}

#endif
