/* A mock of an OpenAI-compatible chat upstream: one thread, epoll, HTTP/1.1 kept alive, loopback only.
 *
 *   mock_upstream [PORT]          PORT 0 or none: the system chooses; the port is the first line printed
 *
 * Plain requests get a fixed answer of about 1 kB with usage. Requests with "stream": true get N events of about
 * 215 bytes, one send() each, paced or as fast as possible, then a usage event if the request asked for it, then [DONE].
 * Every event carries the time of its sending and its number, so that a client on this machine can tell how long it was
 * under way and whether one is missing. A request with "mock": "error" in it gets a 500, one with "mock": "cut" a stream
 * that breaks off in the middle. Every GET is answered as one asking for the models, which is what health checks want.
 *
 *   GET /mock?events=64&pace_us=20000     sets what is named, without closing a connection, and tells
 *                                         {"events", "pace_us", "requests", "streams", "events_sent"}
 */
#include "common.h"

#define CONNECTIONS_MAX 20000
#define INPUT_START 8192
#define INPUT_MAX (4 << 20)
#define OUTPUT_MAX (1 << 20)

struct connection {
    int fd;
    char *input;
    size_t input_size, input_length;
    size_t head_length, request_length; /* of the request being read; 0 while its head is not complete */
    char *output;                       /* what the socket would not take */
    size_t output_length, output_done;
    bool streaming, wants_usage, queued, gone;
    int events_left, events_put, cut_at; /* cut_at: hangs up before this event; -1: never */
    uint64_t due_ns;
    struct connection *next;
};

static int poller;
static int events_per_stream = 64, pace_us = 0;
static unsigned long long requests, streams, events_sent;
static struct connection *first_due, *last_due; /* all wait equally long, so the queue is in order */
static char answer[4096];
static size_t answer_length;

static const char STREAM_HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    "x-request-id: req_0123456789abcdef\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n";
static const char MODELS[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 87\r\n\r\n"
    "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"owned_by\":\"benchmark\"}]}";
static const char ERROR[] =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n"
    "{\"error\":{\"message\":\"as it was asked\",\"type\":\"server_error\"}}";
static const char EVENT_START[] =
    "{\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion.chunk\",\"created\":1741570283,"
    "\"model\":\"gpt-4o-mini-2024-07-18\",";

static void make_answer(void)
{
    static const char body[] =
        "{\"id\":\"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG\",\"object\":\"chat.completion\",\"created\":1741570283,"
        "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"A gateway takes the request, checks the key, finds the deployment, sends the body to an upstream over a "
        "connection that is kept open, and passes the answer on as it arrives. What was used is read from the answer "
        "and written down before its last byte is passed on; nothing on this way waits for a database. This answer has "
        "four sentences of no importance. It is as long as short answers usually are.\","
        "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":212,\"completion_tokens\":96,\"total_tokens\":308,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":"
        "{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}},"
        "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_fc9f1d7035\"}";
    answer_length = (size_t)snprintf(
        answer, sizeof answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_0123456789abcdef\r\n"
        "openai-processing-ms: 12\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n\r\n%s",
        sizeof body - 1, body);
}

static void watch(struct connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &event))
        fail("epoll_ctl");
}

static void release(struct connection *c)
{
    free(c->input);
    free(c->output);
    free(c);
}

static void hang_up(struct connection *c)
{
    close(c->fd);
    if (c->queued)
        c->gone = true; /* the queue still points at it */
    else
        release(c);
}

/* Sends, or keeps for later what the socket does not take. False when the peer is gone. */
static bool put(struct connection *c, const char *bytes, size_t length)
{
    if (!c->output_length) {
        ssize_t sent = send(c->fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        size_t done = sent > 0 ? (size_t)sent : 0;
        if (done == length)
            return true;
        bytes += done;
        length -= done;
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    if (c->output_length + length > OUTPUT_MAX)
        return false;
    c->output = grown(c->output, c->output_length + length);
    memcpy(c->output + c->output_length, bytes, length);
    c->output_length += length;
    return true;
}

static bool flush(struct connection *c)
{
    ssize_t sent = send(c->fd, c->output + c->output_done, c->output_length - c->output_done, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN;
    c->output_done += (size_t)sent;
    if (c->output_done == c->output_length) {
        c->output_done = c->output_length = 0;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
    }
    return true;
}

static bool put_chunk(struct connection *c, const char *data, size_t length)
{
    char chunk[1024];
    int n = snprintf(chunk, sizeof chunk, "%zx\r\n%.*s\r\n", length, (int)length, data);
    return put(c, chunk, (size_t)n);
}

static bool put_next_event(struct connection *c)
{
    char data[768];
    int n;
    if (c->events_put == c->cut_at)
        return false;
    if (c->events_left) {
        c->events_left--;
        events_sent++;
        n = snprintf(data, sizeof data,
                     "data: %s\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" STAMP_FORMAT
                     "\"},\"finish_reason\":%s}]%s}\n\n",
                     EVENT_START, (unsigned long long)now_ns(), c->events_put, c->events_left ? "null" : "\"stop\"",
                     c->wants_usage ? ",\"usage\":null" : "");
        c->events_put++;
        return put_chunk(c, data, (size_t)n);
    }
    c->streaming = false;
    if (c->wants_usage) {
        n = snprintf(data, sizeof data,
                     "data: %s\"choices\":[],\"usage\":{\"prompt_tokens\":212,\"completion_tokens\":%d,"
                     "\"total_tokens\":%d}}\n\n",
                     EVENT_START, events_per_stream, 212 + events_per_stream);
        if (!put_chunk(c, data, (size_t)n))
            return false;
    }
    static const char END[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    return put(c, END, sizeof END - 1);
}

static void queue(struct connection *c, uint64_t due_ns)
{
    c->due_ns = due_ns;
    c->queued = true;
    c->next = NULL;
    if (last_due)
        last_due->next = c;
    else
        first_due = c;
    last_due = c;
}

static bool begin_stream(struct connection *c, bool wants_usage, bool is_cut)
{
    streams++;
    c->streaming = true;
    c->events_put = 0;
    c->cut_at = is_cut ? events_per_stream / 2 : -1;
    c->wants_usage = wants_usage;
    c->events_left = events_per_stream;
    if (!put(c, STREAM_HEAD, sizeof STREAM_HEAD - 1))
        return false;
    if (pace_us) {
        queue(c, now_ns() + (uint64_t)pace_us * 1000);
        return true;
    }
    while (c->streaming)
        if (!put_next_event(c))
            return false;
    return true;
}

static void set(const char *query, const char *name, int *value)
{
    const char *found = strstr(query, name);
    if (found)
        *value = atoi(found + strlen(name));
}

static bool tell(struct connection *c)
{
    char body[256], head[512];
    set(c->input, "events=", &events_per_stream);
    set(c->input, "pace_us=", &pace_us);
    int n = snprintf(body, sizeof body,
                     "{\"events\":%d,\"pace_us\":%d,\"requests\":%llu,\"streams\":%llu,\"events_sent\":%llu}",
                     events_per_stream, pace_us, requests, streams, events_sent);
    n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                 n, body);
    return put(c, head, (size_t)n);
}

/* Whether the body says `"name": true`. */
static bool says(const char *body, size_t length, const char *name)
{
    const char *found = memmem(body, length, name, strlen(name));
    if (!found)
        return false;
    found += strlen(name);
    while (found < body + length && (*found == ' ' || *found == ':'))
        found++;
    return found < body + length && *found == 't';
}

static bool respond(struct connection *c)
{
    const char *body = c->input + c->head_length;
    size_t length = c->request_length - c->head_length;
    if (!strncmp(c->input, "GET /mock", 9))
        return tell(c);
    if (strncmp(c->input, "POST ", 5))
        return put(c, MODELS, sizeof MODELS - 1);
    requests++;
    bool is_faulty = memmem(body, length, "\"mock\"", 6) != NULL;
    if (is_faulty && memmem(body, length, "\"error\"", 7))
        return put(c, ERROR, sizeof ERROR - 1);
    if (says(body, length, "\"stream\""))
        return begin_stream(c, says(body, length, "\"include_usage\""), is_faulty);
    return put(c, answer, answer_length);
}

/* Finds the end of the head and with it the request's length. False for what this mock does not read. */
static bool read_head(struct connection *c)
{
    char *end = memmem(c->input, c->input_length, "\r\n\r\n", 4);
    if (!end)
        return c->input_length < INPUT_START;
    *end = 0;
    if (strcasestr(c->input, "\r\ntransfer-encoding:"))
        return false;
    char *length = strcasestr(c->input, "\r\ncontent-length:");
    c->head_length = (size_t)(end - c->input) + 4;
    c->request_length = c->head_length + (length ? strtoul(length + 17, NULL, 10) : 0);
    if (c->request_length > INPUT_MAX)
        return false;
    if (c->request_length > c->input_size)
        c->input = grown(c->input, c->input_size = c->request_length);
    return true;
}

/* Answers every complete request that has come in. False when the connection is to be closed. */
static bool serve(struct connection *c)
{
    while (!c->streaming && c->input_length) {
        if (!c->request_length && !read_head(c))
            return false;
        if (!c->request_length || c->input_length < c->request_length)
            return true;
        bool good = respond(c);
        c->input_length -= c->request_length;
        memmove(c->input, c->input + c->request_length, c->input_length);
        c->request_length = 0;
        if (!good)
            return false;
    }
    return true;
}

static void send_due(uint64_t now)
{
    while (first_due && first_due->due_ns <= now) {
        struct connection *c = first_due;
        first_due = c->next;
        if (!first_due)
            last_due = NULL;
        c->queued = false;
        if (c->gone) {
            release(c);
            continue;
        }
        bool good = put_next_event(c);
        if (good && c->streaming)
            queue(c, c->due_ns + (uint64_t)pace_us * 1000);
        else if (!good || !serve(c))
            hang_up(c);
    }
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        if (!c || fd >= CONNECTIONS_MAX) {
            close(fd);
            free(c);
            continue;
        }
        without_delay(fd);
        c->fd = fd;
        c->input = grown(NULL, c->input_size = INPUT_START);
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void attend(struct connection *c, uint32_t events)
{
    if (events & EPOLLOUT && !flush(c)) {
        hang_up(c);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    size_t room = c->input_size - c->input_length;
    ssize_t got = room ? recv(c->fd, c->input + c->input_length, room, 0) : 0;
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        hang_up(c);
        return;
    }
    c->input_length += (size_t)got;
    if (!serve(c))
        hang_up(c);
}

static int listening(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = loopback(port);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096))
        fail("the mock upstream cannot listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int count, char **arguments)
{
    signal(SIGPIPE, SIG_IGN);
    make_answer();
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listening(count > 1 ? atoi(arguments[1]) : 0);
    struct epoll_event entry = {.events = EPOLLIN, .data.ptr = NULL}, ready[512];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &entry);
    for (;;) {
        struct timespec wait, *limit = NULL;
        if (first_due) {
            wait = until_ns(now_ns(), first_due->due_ns);
            limit = &wait;
        }
        int n = epoll_pwait2(poller, ready, 512, limit, NULL);
        if (n < 0 && errno != EINTR)
            fail("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            if (!ready[i].data.ptr)
                accept_all(listener);
            else
                attend(ready[i].data.ptr, ready[i].events);
        }
        if (first_due)
            send_due(now_ns());
    }
}
