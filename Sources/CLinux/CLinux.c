#define _GNU_SOURCE
#include "CLinux.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int clinux_pidfd_open(int pid) { return pidfd_open(pid, 0); }

int clinux_pidfd_send_signal(int pidfd, int signal) { return pidfd_send_signal(pidfd, signal, 0, 0); }

long clinux_getrandom(void *bytes, long count) { return getrandom(bytes, (size_t)count, 0); }

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_watch(int epoll, int fd, uint64_t token) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int clinux_epoll_unwatch(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, 0); }

int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity, int milliseconds) {
    struct epoll_event found[256];
    int count = epoll_wait(epoll, found, capacity < 256 ? capacity : 256, milliseconds);
    for (int at = 0; at < count; at++) {
        int ready = found[at].events & EPOLLIN ? CLINUX_INPUT : 0;
        if (found[at].events & EPOLLOUT) ready |= CLINUX_OUTPUT;
        if (found[at].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ready |= CLINUX_END;
        events[at].token = found[at].data.u64;
        events[at].ready = ready;
    }
    return count;
}

long clinux_receive(int fd, void *bytes, long count) { return syscall(SYS_recvfrom, fd, bytes, count, 0, 0, 0); }

long clinux_send(int fd, const void *bytes, long count) {
    return syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, 0, 0);
}

int clinux_accept(int fd, void *address, uint32_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int clinux_spawn_closes_from(void *file_actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(file_actions, first);
}

int clinux_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int clinux_rename_exclusively(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}
