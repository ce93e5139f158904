#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t monotonic_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool disk_may_recover(int why, int64_t since_ms) {
    const bool full = why == ENOSPC || why == EDQUOT;
    const bool passing = why == EIO || why == ENFILE;
    if (!full && !(passing && monotonic_ms() - since_ms < 60000)) return false;
    struct timespec pause = {.tv_nsec = 200000000};
    nanosleep(&pause, NULL);
    return true;
}

// Readers see the whole file or none of it. Not fsynced: after a power cut the attempt's processes are gone too, and an
// absent or empty record says so.
static bool replace(const char *name, const char *temporary, const char *text, size_t length) {
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    size_t written = 0;
    while (written < length) {
        ssize_t count = write(fd, text + written, length - written);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            int why = count == 0 ? ENOSPC : errno;
            close(fd);
            errno = why;
            return false;
        }
        written += (size_t)count;
    }
    if (close(fd) != 0) return false;
    return rename(temporary, name) == 0;
}

bool record_write_pid(void) {
    char stat[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, stat, sizeof stat - 1);
    close(fd);
    if (length <= 0) return false;
    stat[length] = '\0';
    // proc_pid_stat(5): the name, field 2, may hold anything but ends at the last ')'; the start time is field 22.
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
    unsigned long long started = 0;
    if (at == NULL || sscanf(at, " %llu", &started) != 1) {
        errno = EPROTO;
        return false;
    }
    char text[64];
    int size = snprintf(text, sizeof text, "%d %llu\n", getpid(), started);
    return replace("pid", "pid.tmp", text, (size_t)size);
}

static const char *step_word(enum start_step step) {
    switch (step) {
    case START_OK: break;
    case START_OUTPUT: return "output";
    case START_INPUT: return "stdin";
    case START_CGROUP: return "cgroup";
    case START_FORK: return "fork";
    case START_LIMITS: return "limits";
    case START_CWD: return "cwd";
    case START_SANDBOX: return "sandbox";
    case START_EXEC: return "exec";
    }
    return "";
}

bool record_write_exit(const struct record *record) {
    char text[1024];
    int size = 0;
    if (record->failed_step != START_OK) {
        size = snprintf(text, sizeof text, "start_error_step=%s\nstart_errno=%d\n", step_word(record->failed_step),
                        record->failed_errno);
    } else if (WIFSIGNALED(record->status)) {
        size = snprintf(text, sizeof text, "signal=%d\n", WTERMSIG(record->status));
    } else {
        size = snprintf(text, sizeof text, "exit_code=%d\n", WEXITSTATUS(record->status));
    }
    // Everything that ended under this supervisor, orphans included; the command's own children too.
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    getrusage(RUSAGE_CHILDREN, &usage);
    size += snprintf(text + size, sizeof text - (size_t)size,
                     "timed_out=%d\ncancelled=%d\norphaned=%d\nleftovers=%d\nout_of_memory=%d\nrefused_forks=%d\n"
                     "stdout_bytes=%lld\nstdout_truncated=%d\nstderr_bytes=%lld\nstderr_truncated=%d\n"
                     "started_ns=%lld\nfinished_ns=%lld\nuser_us=%lld\nsystem_us=%lld\nmax_rss_kib=%ld\nend=1\n",
                     record->timed_out, record->cancelled, record->orphaned, record->leftovers, record->out_of_memory,
                     record->refused_forks,
                     (long long)record->stdout_bytes,
                     record->stdout_truncated, (long long)record->stderr_bytes, record->stderr_truncated,
                     (long long)record->started_ns, (long long)record->finished_ns,
                     (long long)usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec,
                     (long long)usage.ru_stime.tv_sec * 1000000 + usage.ru_stime.tv_usec, usage.ru_maxrss);
    const int64_t since = monotonic_ms();
    while (!replace("exit", "exit.tmp", text, (size_t)size)) {
        if (!disk_may_recover(errno, since)) return false;
    }
    return true;
}
