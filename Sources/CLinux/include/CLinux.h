// The Linux calls that Swift's Glibc module does not show. Names and results are the system's own; -1 is an error with
// its errno.
#ifndef CLINUX_H
#define CLINUX_H

// No header of the system's but this one: its types would belong to two modules.
#include <stdint.h>

// pidfd_open(2), close-on-exec.
int clinux_pidfd_open(int pid);

// pidfd_send_signal(2): never reaches another process that got the pid later.
int clinux_pidfd_send_signal(int pidfd, int signal);

// getrandom(2), from the pool that is ready long before any program starts.
long clinux_getrandom(void *bytes, long count);

// epoll_create1(2), close-on-exec.
int clinux_epoll_create(void);

// What has happened to a descriptor that clinux_epoll_watch watches.
enum {
    CLINUX_INPUT = 1,
    CLINUX_OUTPUT = 2,
    // The peer has ended its side, or there was an error: after the last input there is an end to read.
    CLINUX_END = 4,
};

struct clinux_event {
    uint64_t token;
    // Of the bits above.
    int32_t ready;
};

// Watches `fd` for everything, edge-triggered: each thing is told once, with `token`, and epoll_wait(2) has not to look at
// every descriptor again after it was read.
int clinux_epoll_watch(int epoll, int fd, uint64_t token);
int clinux_epoll_unwatch(int epoll, int fd);

// Waits for at most `milliseconds`, without a limit when negative, and fills `events`, at most 256 and at most `capacity`;
// their number, or -1.
int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity, int milliseconds);

// recv(2), and send(2) with MSG_NOSIGNAL, of a socket that does not block. No points at which a thread can be cancelled,
// which libc would see to at some cost.
long clinux_receive(int fd, void *bytes, long count);
long clinux_send(int fd, const void *bytes, long count);

// accept4(2), non-blocking and close-on-exec, into a sockaddr_storage.
int clinux_accept(int fd, void *address, uint32_t *length);

// posix_spawn_file_actions_addclosefrom_np(3): the program has no descriptor from `first` on. An errno, or 0.
int clinux_spawn_closes_from(void *file_actions, int first);

// pipe2(2), both ends close-on-exec: ends[0] is for reading.
int clinux_pipe(int ends[2]);

// eventfd(2), non-blocking and close-on-exec.
int clinux_eventfd(void);

// renameat2(2) with RENAME_NOREPLACE: EEXIST when `to` is there, EINVAL where the file system can't.
int clinux_rename_exclusively(const char *from, const char *to);

#endif
