/* The load client's two measuring instruments: a histogram of durations and a reader of other processes' CPU time. */
#ifndef MEASURES_H
#define MEASURES_H

#include "common.h"
#include <dirent.h>

/* Durations in ns, 64 steps to each power of two: 1.6 % wide. */
#define STEPS 64
#define BUCKETS (STEPS * 44)

struct histogram {
    uint64_t count, largest, buckets[BUCKETS];
};

static inline int bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (int)ns;
    int power = 63 - __builtin_clzll(ns);
    int bucket = (power - 5) * STEPS + (int)((ns >> (power - 6)) & (STEPS - 1));
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline double middle_of(int bucket)
{
    if (bucket < STEPS)
        return bucket;
    int power = bucket / STEPS + 5;
    return (double)(1ull << power) + ((double)(bucket % STEPS) + 0.5) * (double)(1ull << (power - 6));
}

static inline void record(struct histogram *h, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t ns = to_ns > from_ns ? to_ns - from_ns : 0;
    h->buckets[bucket_of(ns)]++;
    h->count++;
    if (ns > h->largest)
        h->largest = ns;
}

/* In µs. */
static inline double quantile(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += h->buckets[i]) > wanted)
            return middle_of(i) / 1e3;
    return 0;
}

static inline void print_quantiles(const char *name, const struct histogram *h)
{
    printf(",\"%s\":{\"count\":%llu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", name,
           (unsigned long long)h->count, quantile(h, .5), quantile(h, .9), quantile(h, .99), (double)h->largest / 1e3);
}

/* A process under test. cpu_ns is what its living threads have spent on a CPU; ticks_ns adds threads that have ended, to
 * the nearest tick. Linux scales the ticks to the same exact sum. */
struct process {
    int pid;
    double cpu_ns, ticks_ns;
    long rss_kb;
};

static inline double read_number(const char *path, const char *key)
{
    char line[256];
    double value = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, key, strlen(key))) {
            value = strtod(line + strlen(key), NULL);
            break;
        }
    fclose(file);
    return value;
}

static inline double read_ticks_ns(int pid)
{
    char path[64], line[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    if (name_end)
        sscanf(name_end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    fclose(file);
    return (double)(user + system) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

static inline void read_process(struct process *p)
{
    char path[512];
    struct dirent *thread;
    p->cpu_ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task", p->pid);
    DIR *threads = opendir(path);
    while (threads && (thread = readdir(threads)))
        if (thread->d_name[0] != '.') {
            snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", p->pid, thread->d_name);
            p->cpu_ns += read_number(path, "");
        }
    if (threads)
        closedir(threads);
    p->ticks_ns = read_ticks_ns(p->pid);
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", p->pid);
    p->rss_kb = (long)read_number(path, "Rss:");
}

/* CPU time between two readings; falls back on ticks where a thread ended in between. */
static inline double cpu_between(const struct process *before, const struct process *after)
{
    double exact = after->cpu_ns - before->cpu_ns, ticks = after->ticks_ns - before->ticks_ns;
    return ticks > exact + 3e7 ? ticks : exact;
}

#endif
