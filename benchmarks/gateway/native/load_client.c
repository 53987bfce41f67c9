/* A load client for OpenAI-compatible servers: one thread, epoll, HTTP/1.1 kept alive, loopback only.
 *
 *   load_client --port PORT --key KEY --body FILE [--path /v1/chat/completions]
 *               [--header 'name: value'] … [--connections 16] [--rate 0] [--warm 1] [--window 3] [--stagger 0] [--drain 10]
 *               [--expect-status 200] [--expect-events 0] [--expect-bytes 0] [--stall 0] [--pids 1,2,3]
 *               [--abort-after N] [--requests-per-connection 0] [--ledger FILE] [--keys FILE]
 *
 * Closed loop: each connection sends its next request as soon as an answer ends. Open loop (--rate R): R requests a second
 * on a fixed schedule, latency counted from the scheduled time, so that a slow server cannot hide behind waiting.
 * After warm-up a window is measured, in which the CPU time of --pids is read too. Then nothing new is sent and what is
 * still open is waited for, so that every request sent was answered or has failed: "answered" and "failed" are of the
 * whole run, everything else is of the window. Prints one JSON object.
 *
 * --abort-after N: hangs up after N events of each stream, after the head when N is 0, as clients do that have lost
 * interest; these requests are "aborted", not failed. --requests-per-connection: a new connection after so many.
 * --stall S: a stream is "stalled" when S seconds pass between two of its events. "lost_events" counts the numbers that
 * are missing between those that came. --ledger: appends a line for each request that was given an id: the answer's
 * x-request-id and "answered", "aborted" or "failed". --keys: a key a line; connections take them in turn, in place of --key.
 */
#include "answer.h"
#include "measures.h"
#include <getopt.h>
#include <sys/resource.h>

#define PIDS_MAX 64
#define BODY_MAX (4 << 20)
#define FAILURES_MAX 1000 /* a closed loop gives up after so many */

struct connection {
    int fd, requests; /* on this socket */
    bool busy, begun, stalled;
    uint64_t from_ns; /* when the request was sent, or was to be sent */
    struct answer answer;
};

static struct {
    int port, connections, expect_status, expect_events, expect_bytes, pid_count, abort_after, connection_requests;
    const char *path, *key, *keys, *body, *ledger;
    double rate, warm, window, stagger, drain, stall;
    char headers[2048];
} options = {.connections = 16, .path = "/v1/chat/completions", .key = "", .warm = 1, .window = 3, .drain = 10,
             .expect_status = 200, .abort_after = -1};

static struct process before[PIDS_MAX], after[PIDS_MAX];
static struct histogram latency, first_byte, event_delay;
static unsigned long long answered, aborted, failed, cut_short, window_answered, reconnects, late_starts, lost_events,
    stalled_streams, failed_by_status[600];
static FILE *ledger;
static enum { WARMING, MEASURING, DRAINING } phase;
static struct connection *connections, **idle;
static int poller, idle_count, open_count;
static struct request {
    char *bytes;
    size_t length;
} *requests; /* one for each key */
static int request_count;

static void hang_up(struct connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static bool dial(struct connection *c)
{
    struct sockaddr_in address = loopback(options.port);
    struct epoll_event entry = {.events = EPOLLIN, .data.ptr = c};
    c->requests = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    without_delay(c->fd);
    if (!connect(c->fd, (struct sockaddr *)&address, sizeof address))
        return !epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &entry);
    hang_up(c);
    return false;
}

static bool send_request(struct connection *c)
{
    const struct request *request = &requests[(c - connections) % request_count];
    for (size_t done = 0; done < request->length;) {
        ssize_t sent = send(c->fd, request->bytes + done, request->length - done, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        done += (size_t)sent;
    }
    return true;
}

static void finish(struct connection *c);

/* Sends the request; once more on a fresh connection when the kept one turns out to be closed. */
static void start(struct connection *c, uint64_t from_ns)
{
    begin_answer(&c->answer);
    c->begun = c->stalled = false;
    c->busy = true;
    c->from_ns = from_ns;
    open_count++;
    if (c->fd >= 0) {
        if (send_request(c))
            return;
        hang_up(c);
        reconnects++;
    }
    if (!dial(c) || !send_request(c))
        finish(c);
}

static bool is_to_be_aborted(const struct answer *a)
{
    return options.abort_after >= 0 && a->state > HEAD && a->state < COMPLETE && a->events >= options.abort_after;
}

static void enter_in_ledger(const struct answer *a, const char *what)
{
    char *id = a->state > HEAD ? strcasestr(a->head, "\r\nx-request-id: ") : NULL;
    if (ledger && id)
        fprintf(ledger, "%.*s %s\n", (int)strcspn(id + 16, "\r"), id + 16, what);
}

static void count(const struct connection *c)
{
    const struct answer *a = &c->answer;
    lost_events += (unsigned long long)a->lost;
    if (is_to_be_aborted(a)) {
        aborted++;
        enter_in_ledger(a, "aborted");
        return;
    }
    if (a->state != COMPLETE || a->status != options.expect_status) {
        failed++;
        failed_by_status[a->status > 0 && a->status < 600 ? a->status : 0]++;
        enter_in_ledger(a, "failed");
        return;
    }
    answered++;
    enter_in_ledger(a, "answered");
    if (a->events < options.expect_events || a->body_bytes < (size_t)options.expect_bytes)
        cut_short++;
    if (phase == MEASURING) {
        window_answered++;
        record(&latency, c->from_ns, now_ns());
    }
}

static void finish(struct connection *c)
{
    count(c);
    open_count--;
    c->busy = false;
    c->requests++;
    if (is_to_be_aborted(&c->answer)) {
        hang_up(c);
    } else if (c->answer.state != COMPLETE) {
        hang_up(c);
        usleep(500); /* a server that refuses everything must not make this loop spin */
    } else if (c->answer.closes || c->requests == options.connection_requests) {
        hang_up(c);
    }
    if (options.rate > 0)
        idle[idle_count++] = c;
    else if (phase != DRAINING && failed < FAILURES_MAX)
        start(c, now_ns());
}

static void note_event(struct answer *a, uint64_t sent_ns, uint64_t now)
{
    struct connection *c = (struct connection *)((char *)a - offsetof(struct connection, answer));
    if (options.stall > 0 && a->last_event_ns && (double)(now - a->last_event_ns) > options.stall * 1e9 && !c->stalled) {
        c->stalled = true;
        stalled_streams++;
    }
    if (phase == MEASURING)
        record(&event_delay, sent_ns, now);
}

static void attend(struct connection *c)
{
    static char buffer[1 << 18];
    ssize_t got = c->fd < 0 ? -1 : recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (c->fd < 0 || (got < 0 && errno == EAGAIN))
        return;
    if (!c->busy) { /* the server closed a kept connection, or said more than it was asked */
        hang_up(c);
        reconnects++;
        return;
    }
    uint64_t now = now_ns();
    if (got > 0)
        read_answer(&c->answer, buffer, (size_t)got, now, note_event);
    if (!c->begun && c->answer.body_bytes) {
        c->begun = true;
        if (phase == MEASURING)
            record(&first_byte, c->from_ns, now);
    }
    if (got <= 0 || c->answer.state >= COMPLETE || is_to_be_aborted(&c->answer))
        finish(c);
}

static void make_request(const char *key, const char *body, size_t length)
{
    char *bytes = grown(NULL, length + 4096);
    int head = snprintf(bytes, 4096,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n%sContent-Type: "
                        "application/json\r\nAccept: */*\r\nUser-Agent: OpenAI/Python 2.3.0\r\nContent-Length: %zu\r\n\r\n",
                        options.path, options.port, key, options.headers, length);
    memcpy(bytes + head, body, length);
    requests = grown(requests, (size_t)(request_count + 1) * sizeof *requests);
    requests[request_count++] = (struct request){bytes, (size_t)head + length};
}

static void make_requests(void)
{
    FILE *file = fopen(options.body, "r");
    if (!file)
        fail(options.body);
    char *body = grown(NULL, BODY_MAX), key[256];
    size_t length = fread(body, 1, BODY_MAX, file);
    fclose(file);
    file = options.keys ? fopen(options.keys, "r") : NULL;
    while (file && request_count < options.connections && fgets(key, sizeof key, file)) {
        key[strcspn(key, "\n")] = 0;
        make_request(key, body, length);
    }
    if (file)
        fclose(file);
    if (!request_count)
        make_request(options.key, body, length);
    free(body);
}

static double own_cpu_ns(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

static void read_processes(struct process *into)
{
    for (int i = 0; i < options.pid_count; i++)
        read_process(&into[i]);
}

static uint64_t start_due(uint64_t now, uint64_t begun_ns, uint64_t wake_ns)
{
    static int started;
    static uint64_t scheduled;
    if (options.rate <= 0) {
        for (; started < options.connections; started++) {
            double share = (double)started / options.connections;
            uint64_t due = begun_ns + (uint64_t)(options.stagger * share * 1e9);
            if (due > now)
                return due < wake_ns ? due : wake_ns;
            start(&connections[started], now);
        }
        return wake_ns;
    }
    uint64_t step = (uint64_t)(1e9 / options.rate);
    for (scheduled = scheduled ? scheduled : begun_ns; scheduled <= now; scheduled += step) {
        if (!idle_count) {
            late_starts++;
            return wake_ns;
        }
        start(idle[--idle_count], scheduled);
    }
    return scheduled < wake_ns ? scheduled : wake_ns;
}

static void report(double wall, double own_ns)
{
    printf("{\"answered\":%llu,\"aborted\":%llu,\"failed\":%llu,\"cut_short\":%llu,\"unfinished\":%d,\"reconnects\":%llu,"
           "\"late_starts\":%llu,\"lost_events\":%llu,\"stalled_streams\":%llu,\"wall_s\":%.4f,\"requests\":%llu,"
           "\"events\":%llu,\"own_share\":%.3f",
           answered, aborted, failed, cut_short, open_count, reconnects, late_starts, lost_events, stalled_streams, wall,
           window_answered,
           (unsigned long long)event_delay.count, own_ns / 1e9 / wall);
    print_quantiles("latency_us", &latency);
    print_quantiles("first_byte_us", &first_byte);
    print_quantiles("event_delay_us", &event_delay);
    printf(",\"failed_by_status\":{");
    for (int i = 0, any = 0; i < 600; i++)
        if (failed_by_status[i])
            printf("%s\"%d\":%llu", any++ ? "," : "", i, failed_by_status[i]);
    printf("},\"processes\":{");
    for (int i = 0; i < options.pid_count; i++)
        printf("%s\"%d\":{\"cpu_us\":%.1f,\"rss_kb\":%ld}", i ? "," : "", after[i].pid,
               cpu_between(&before[i], &after[i]) / 1e3, after[i].rss_kb);
    printf("}}\n");
}

static void run(void)
{
    struct epoll_event ready[512];
    uint64_t begun = now_ns(), wake = begun + (uint64_t)(options.warm * 1e9), window_begun = begun;
    double own_before = 0, own_spent = 0, wall = 1;
    for (;;) {
        uint64_t now = now_ns(), next = wake;
        if (now >= wake && phase == WARMING) {
            read_processes(before);
            own_before = own_cpu_ns();
            phase = MEASURING;
            window_begun = now_ns();
            wake = window_begun + (uint64_t)(options.window * 1e9);
        } else if (now >= wake && phase == MEASURING) {
            wall = (double)(now_ns() - window_begun) / 1e9;
            own_spent = own_cpu_ns() - own_before;
            read_processes(after);
            phase = DRAINING;
            wake = now_ns() + (uint64_t)(options.drain * 1e9);
        } else if (phase == DRAINING && (now >= wake || !open_count)) {
            break;
        }
        if (phase != DRAINING)
            next = start_due(now, begun, wake);
        struct timespec wait = until_ns(now_ns(), next);
        int n = epoll_pwait2(poller, ready, 512, &wait, NULL);
        for (int i = 0; i < n; i++)
            attend(ready[i].data.ptr);
    }
    report(wall, own_spent);
}

static void read_pids(char *list)
{
    for (char *pid = strtok(list, ","); pid && options.pid_count < PIDS_MAX; pid = strtok(NULL, ","))
        before[options.pid_count].pid = after[options.pid_count].pid = atoi(pid), options.pid_count++;
}

static void add_header(const char *line)
{
    size_t had = strlen(options.headers);
    snprintf(options.headers + had, sizeof options.headers - had, "%s\r\n", line);
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {
        {"port", 1, 0, 'p'},    {"key", 1, 0, 'k'},   {"body", 1, 0, 'b'},          {"path", 1, 0, 'u'},
        {"rate", 1, 0, 'r'},    {"warm", 1, 0, 'w'},  {"window", 1, 0, 'd'},        {"stagger", 1, 0, 's'},
        {"drain", 1, 0, 'D'},   {"pids", 1, 0, 'P'},  {"expect-events", 1, 0, 'e'}, {"expect-bytes", 1, 0, 'B'},
        {"connections", 1, 0, 'c'}, {"header", 1, 0, 'H'}, {"expect-status", 1, 0, 'x'}, {"stall", 1, 0, 'S'},
        {"abort-after", 1, 0, 'a'}, {"ledger", 1, 0, 'l'}, {"requests-per-connection", 1, 0, 'n'},
        {"keys", 1, 0, 'K'}, {0, 0, 0, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) > 0;)
        switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'k': options.key = optarg; break;
        case 'b': options.body = optarg; break;
        case 'u': options.path = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'w': options.warm = atof(optarg); break;
        case 'd': options.window = atof(optarg); break;
        case 's': options.stagger = atof(optarg); break;
        case 'D': options.drain = atof(optarg); break;
        case 'P': read_pids(optarg); break;
        case 'H': add_header(optarg); break;
        case 'x': options.expect_status = atoi(optarg); break;
        case 'S': options.stall = atof(optarg); break;
        case 'K': options.keys = optarg; break;
        case 'a': options.abort_after = atoi(optarg); break;
        case 'l': options.ledger = optarg; break;
        case 'n': options.connection_requests = atoi(optarg); break;
        case 'e': options.expect_events = atoi(optarg); break;
        case 'B': options.expect_bytes = atoi(optarg); break;
        default: exit(2);
        }
}

int main(int count, char **arguments)
{
    signal(SIGPIPE, SIG_IGN);
    read_options(count, arguments);
    if (!options.port || !options.body || options.connections < 1) {
        fprintf(stderr, "--port, --body and at least one connection are needed\n");
        return 2;
    }
    make_requests();
    if (options.ledger && !(ledger = fopen(options.ledger, "a")))
        fail(options.ledger);
    poller = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc((size_t)options.connections, sizeof *connections);
    idle = calloc((size_t)options.connections, sizeof *idle);
    for (int i = 0; i < options.connections; i++) {
        connections[i].fd = -1;
        if (options.rate > 0)
            idle[idle_count++] = &connections[i];
    }
    run();
    return ledger && fclose(ledger) ? 1 : 0;
}
