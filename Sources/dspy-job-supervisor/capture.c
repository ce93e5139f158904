#define _GNU_SOURCE
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record.h"

// A result of 1 MiB, with room for its marker and a few lines behind it.
enum { TAIL_BYTES = (1 << 20) + (64 << 10) };

bool capture_open(struct capture *capture, const char *name, int64_t cap) {
    *capture = (struct capture){.name = name, .read_end = -1, .write_end = -1, .file = -1, .cap = cap};
    int ends[2];
    capture->file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (capture->file < 0 || pipe2(ends, O_CLOEXEC) != 0) return false;
    capture->read_end = ends[0];
    capture->write_end = ends[1];
    // Only this end: a command that finds its standard output non-blocking breaks in odd ways.
    return fcntl(capture->read_end, F_SETFL, O_NONBLOCK) == 0;
}

// A write that fails (a full disk) is a cap reached early, not a reason to stop the command.
static size_t keep(struct capture *capture, const char *bytes, size_t length) {
    int64_t room = capture->cap - capture->kept;
    size_t wanted = room < (int64_t)length ? (size_t)(room > 0 ? room : 0) : length;
    size_t written = 0;
    while (written < wanted) {
        ssize_t count = write(capture->file, bytes + written, wanted - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            capture->cap = capture->kept + (int64_t)written;
            break;
        }
        written += (size_t)count;
    }
    capture->kept += (int64_t)written;
    return written;
}

static void remember(struct capture *capture, const char *bytes, size_t length) {
    if (capture->tail == NULL) capture->tail = malloc(TAIL_BYTES);
    if (capture->tail == NULL) return;
    while (length > 0) {
        size_t run = TAIL_BYTES - capture->tail_at;
        if (run > length) run = length;
        memcpy(capture->tail + capture->tail_at, bytes, run);
        capture->tail_at = (capture->tail_at + run) % TAIL_BYTES;
        if (capture->tail_at == 0) capture->tail_full = true;
        bytes += run;
        length -= run;
    }
}

void capture_pump(struct capture *capture, int64_t most) {
    static char buffer[64 << 10];
    while (capture->read_end >= 0 && most > 0) {
        ssize_t count = read(capture->read_end, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            close(capture->read_end);
            capture->read_end = -1;
            return;
        }
        size_t kept = keep(capture, buffer, (size_t)count);
        if (kept < (size_t)count) remember(capture, buffer + kept, (size_t)count - kept);
        capture->seen += count;
        most -= count;
    }
}

bool capture_truncated(const struct capture *capture) { return capture->kept < capture->seen; }

static bool write_all(int fd, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t count = write(fd, bytes, length);
        if (count < 0 && errno == EINTR) continue;
        if (count == 0) errno = ENOSPC;
        if (count <= 0) return false;
        bytes += count;
        length -= (size_t)count;
    }
    return true;
}

// A ring's content, oldest first. Half a tail would end in the middle of something and be taken for the end.
static bool write_tail(const struct capture *capture, const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    const bool whole =
        (!capture->tail_full || write_all(fd, capture->tail + capture->tail_at, TAIL_BYTES - capture->tail_at)) &&
        write_all(fd, capture->tail, capture->tail_at);
    const int why = errno;
    close(fd);
    if (!whole) unlink(name);
    errno = why;
    return whole;
}

void capture_finish(struct capture *capture) {
    if (capture->read_end >= 0) close(capture->read_end);
    capture->read_end = -1;
    if (capture->tail != NULL) {
        char name[64];
        snprintf(name, sizeof name, "%s.tail", capture->name);
        // The job's result may stand in it.
        const int64_t since = monotonic_ms();
        while (!write_tail(capture, name) && disk_may_recover(errno, since)) continue;
        free(capture->tail);
        capture->tail = NULL;
    }
    if (capture->file >= 0) close(capture->file);
    capture->file = -1;
}
