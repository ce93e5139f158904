// One process per attempt of a job. It outlives the server, so that neither a crash nor an upgrade of the server loses
// or doubles a running job: what became of the command always stands in the attempt's directory.
//
//   DIR/lock    held for this process's whole life, from before it existed: free means nobody watches the attempt
//   DIR/pid     written before the command starts: absent, with the lock free, means the command never ran
//   DIR/exit    written, whole, after the command and all its descendants are gone
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture.h"
#include "cgroup.h"
#include "command.h"
#include "descendants.h"
#include "options.h"
#include "record.h"
#include "sandbox.h"

enum { EXIT_OPTIONS = 64, EXIT_UNSUPPORTED = 69, EXIT_DIRECTORY = 74, EXIT_LOCKED = 75 };

// Descriptors 0 to 2 exist, the lock is 3, the lifeline 4 and the command's own three 5 to 7, if there are
// any; the rest is closed, whatever the server forgot to.
enum { LOCK_FD = 3, LIFELINE_FD = 4, STDIO_FD = 5, FIRST_FREE_FD = 8 };

// Between two looks at what the attempt uses, where no cgroup holds it to its limits.
static const int64_t LOOK_MS = 50;

// How long processes may survive SIGKILL before the record says so and is written all the same.
static const int64_t KILL_PATIENCE_MS = 10000;

// Read from a pipe after every descendant is gone: more than any pipe holds (pipe(7), pipe-max-size). Whoever still
// writes is no descendant, and must not keep the supervisor here.
static const int64_t DRAIN_BYTES = 1 << 20;

// Read from one pipe before the other descriptors are looked at again.
static const int64_t PUMP_BYTES = 1 << 20;

// Has the descriptor under its number, for this process only; without one the number is free.
static bool keep(int given, int number) {
    if (given < 0) {
        close(number);
        return true;
    }
    if (given != number && dup2(given, number) < 0) return false;
    return fcntl(number, F_SETFD, FD_CLOEXEC) == 0;
}

static bool take_lock(const struct options *options) {
    if (options->lock_fd < 0) {
        int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || dup2(fd, LOCK_FD) < 0) return false;
    } else if (options->lock_fd != LOCK_FD && dup2(options->lock_fd, LOCK_FD) < 0) {
        return false;
    }
    if (!keep(options->lifeline_fd, LIFELINE_FD)) return false;
    for (int at = 0; at < 3; at++) {
        if (!keep(options->stdio_fd < 0 ? -1 : options->stdio_fd + at, STDIO_FD + at)) return false;
    }
    close_range(FIRST_FREE_FD, UINT_MAX, 0);
    if (fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC) != 0) return false;
    // Already held when the server passed it: a lock belongs to the open file description (flock(2)).
    return flock(LOCK_FD, LOCK_EX | LOCK_NB) == 0;
}

// Hundreds of processes that all want the processor would leave this one no time to end them. Not allowed to everybody:
// then RLIMIT_NPROC bounds what it has to deal with.
static void stay_awake(void) {
    const struct sched_param lowest = {.sched_priority = sched_get_priority_min(SCHED_RR)};
    sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &lowest);
}

// Whether the attempt uses more than it may, where only a look can tell.
static bool is_over(const struct limits *limits, const struct cgroup *group, struct record *record) {
    const struct usage usage = descendants_usage();
    if (limits->memory_bytes > 0 && !cgroup_holds(group, CGROUP_MEMORY)) {
        record->out_of_memory = usage.resident_bytes > limits->memory_bytes;
    }
    if (limits->processes > 0 && !cgroup_holds(group, CGROUP_PIDS)) {
        record->refused_forks = usage.processes > limits->processes;
    }
    return record->out_of_memory || record->refused_forks;
}

// Watches the command until it has ended, and leaves it unreaped: as long as it is a zombie, its group's number is its
// own and can be signalled safely.
static void watch(pid_t command, int signals, struct capture *output, struct capture *errors,
                  const struct options *options, const struct cgroup *group, struct record *record) {
    const bool looks = (options->limits.memory_bytes > 0 && !cgroup_holds(group, CGROUP_MEMORY)) ||
                       (options->limits.processes > 0 && !cgroup_holds(group, CGROUP_PIDS));
    if (looks) stay_awake();
    int64_t look_at = looks ? monotonic_ms() : INT64_MAX;
    int lifeline = options->lifeline_fd >= 0 ? LIFELINE_FD : -1;
    const int64_t never = INT64_MAX;
    int64_t terminate_at = options->timeout_ms > 0 ? monotonic_ms() + options->timeout_ms : never;
    int64_t kill_at = never;
    for (;;) {
        siginfo_t ended = {0};
        while (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0) {
            if (ended.si_pid == command) return;
            waitpid(ended.si_pid, NULL, 0);
            ended.si_pid = 0;
        }

        const int64_t now = monotonic_ms();
        if (now >= kill_at) return;
        if (now >= look_at) {
            if (is_over(&options->limits, group, record)) return;
            look_at = monotonic_ms() + LOOK_MS;
        }
        const bool timed_out = now >= terminate_at;
        if ((timed_out || record->cancelled) && kill_at == never) {
            record->timed_out = timed_out && !record->cancelled;
            kill(-command, SIGTERM);
            kill(-command, SIGCONT);  // A stopped process would not see SIGTERM.
            terminate_at = never;
            kill_at = now + options->grace_ms;
            continue;
        }

        struct pollfd watched[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = output->read_end, .events = POLLIN},
            {.fd = errors->read_end, .events = POLLIN},
            {.fd = lifeline, .events = POLLIN},
        };
        int64_t next = terminate_at < kill_at ? terminate_at : kill_at;
        if (look_at < next) next = look_at;
        const int64_t wait = next == never ? -1 : next > now ? next - now : 0;
        if (poll(watched, 4, wait > INT_MAX ? INT_MAX : (int)wait) < 0 && errno != EINTR) return;
        if (watched[0].revents != 0) {
            struct signalfd_siginfo arrived;
            while (read(signals, &arrived, sizeof arrived) == (ssize_t)sizeof arrived) {
                if (arrived.ssi_signo == SIGTERM && !record->timed_out) record->cancelled = true;
            }
        }
        if (watched[1].revents != 0) capture_pump(output, PUMP_BYTES);
        if (watched[2].revents != 0) capture_pump(errors, PUMP_BYTES);
        if (watched[3].revents != 0) {
            lifeline = -1;
            record->orphaned = !record->timed_out && !record->cancelled;
            record->cancelled |= record->orphaned;
        }
    }
}

// Fills the record. `failed_step` says how far it came when the command never ran.
static void run(const struct options *options, int signals, struct record *record) {
    const bool captures = options->stdio_fd < 0;
    struct capture output = {.read_end = -1, .file = -1, .write_end = STDIO_FD + 1};
    struct capture errors = {.read_end = -1, .file = -1, .write_end = STDIO_FD + 2};
    record->started_ns = record->finished_ns = wall_ns();
    record->failed_step = START_OUTPUT;
    if (captures &&
        (!capture_open(&output, "stdout", options->stdout_cap) ||
         !capture_open(&errors, "stderr", options->stderr_cap))) {
        record->failed_errno = errno;
        return;
    }
    record->failed_step = START_INPUT;
    const int input =
        captures ? open(options->input != NULL ? options->input : "/dev/null", O_RDONLY | O_CLOEXEC) : STDIO_FD;
    if (input < 0) {
        record->failed_errno = errno;
        return;
    }
    static struct cgroup group;
    record->failed_step = START_CGROUP;
    if (!cgroup_make(&group, &options->cgroups, &options->limits)) {
        record->failed_errno = errno;
        return;
    }
    pid_t command = command_start(options, &group, input, output.write_end, errors.write_end, &record->failed_step,
                                  &record->failed_errno);
    close(input);
    close(output.write_end);
    close(errors.write_end);
    if (command > 0) {
        record->failed_step = START_OK;
        watch(command, signals, &output, &errors, options, &group, record);
        cgroup_kill(&group);
        kill(-command, SIGKILL);
        record->leftovers = !descendants_end(command, &record->status, KILL_PATIENCE_MS);
        capture_pump(&output, DRAIN_BYTES);
        capture_pump(&errors, DRAIN_BYTES);
    }
    record->out_of_memory |= cgroup_oom_kills(&group) > 0;
    record->refused_forks |= cgroup_refused_forks(&group) > 0;
    cgroup_remove(&group);
    record->finished_ns = wall_ns();
    record->stdout_bytes = output.seen;
    record->stderr_bytes = errors.seen;
    record->stdout_truncated = capture_truncated(&output);
    record->stderr_truncated = capture_truncated(&errors);
    capture_finish(&output);
    capture_finish(&errors);
}

// In a process of its own, which is then over: a sandbox can't be left.
static int check_sandbox(void) {
    const struct sandbox everything = {.is_on = true, .readable = {"/"}, .readable_count = 1};
    if (sandbox_enter(&everything)) return 0;
    fprintf(stderr, "%s (Landlock version %d)\n", strerror(errno), sandbox_version());
    return EXIT_UNSUPPORTED;
}

int main(int argc, char **argv) {
    struct options options;
    switch (options_parse(argc, argv, &options)) {
    case PARSED_HELP: return 0;
    case PARSED_INVALID: return EXIT_OPTIONS;
    case PARSED_CHECK: return check_sandbox();
    case PARSED_RUN: break;
    }

    // Everything is blocked and read from a descriptor: nothing interrupts, and SIGPIPE is an errno.
    sigset_t all, read_here;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&read_here);
    sigaddset(&read_here, SIGCHLD);
    sigaddset(&read_here, SIGTERM);

    setsid();
    if (chdir(options.dir) != 0) {
        fprintf(stderr, "dspy-job-supervisor: can't enter \"%s\": %s\n", options.dir, strerror(errno));
        return EXIT_DIRECTORY;
    }
    if (!take_lock(&options)) return errno == EWOULDBLOCK ? EXIT_LOCKED : EXIT_DIRECTORY;
    const int signals = signalfd(-1, &read_here, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return EXIT_DIRECTORY;
    if (!record_write_pid()) return EXIT_DIRECTORY;

    // A command that even SIGKILL does not end in time is recorded as killed.
    struct record record = {.status = SIGKILL};
    run(&options, signals, &record);
    return record_write_exit(&record) ? 0 : EXIT_DIRECTORY;
}
