/* What the mock upstream and the load client share: the clock, the sockets and the stamp that every event carries. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

/* An event's content is "@T", the 19 digits of the monotonic clock in ns at which it was sent, "N", six digits of its
 * number in the stream, from 0, "@". */
#define STAMP_FORMAT "@T%019lluN%06d@"
#define STAMP_LENGTH 29
#define STAMP_NUMBER 22 /* where the number stands */

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static inline struct timespec until_ns(uint64_t now, uint64_t then)
{
    uint64_t wait = then > now ? then - now : 0;
    return (struct timespec){.tv_sec = (time_t)(wait / SECOND_NS), .tv_nsec = (long)(wait % SECOND_NS)};
}

_Noreturn static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void without_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static inline void *grown(void *memory, size_t size)
{
    void *larger = realloc(memory, size);
    if (!larger)
        fail("out of memory");
    return larger;
}

#endif
