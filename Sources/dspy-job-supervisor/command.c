#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct failure {
    enum start_step step;
    int why;
};

static _Noreturn void refuse(int report, enum start_step step, int why) {
    struct failure failure = {step, why};
    // Shorter than PIPE_BUF, hence written whole (pipe(7)).
    ssize_t written = write(report, &failure, sizeof failure);
    _exit(written == (ssize_t)sizeof failure ? 127 : 126);
}

static _Noreturn void become(const struct options *options, const struct cgroup *group, int input, int output,
                             int errors, int report, pid_t supervisor) {
    setpgid(0, 0);
    // Without its supervisor nobody would end or record it. The parent may already be gone: then no signal would come.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor) _exit(127);
    if (!cgroup_join(group)) refuse(report, START_CGROUP, errno);
    const bool counts_processes = options->limits.processes > 0 && !cgroup_holds(group, CGROUP_PIDS);
    if (!limits_apply(&options->limits, counts_processes)) refuse(report, START_LIMITS, errno);
    if (!cgroup_holds(group, CGROUP_CPU) && !limits_pin(&options->limits, (unsigned)supervisor)) {
        refuse(report, START_LIMITS, errno);
    }
    if (options->cwd != NULL && chdir(options->cwd) != 0) refuse(report, START_CWD, errno);
    // The descriptors are all above 2 here, so no dup2 overwrites one still needed, and each clears close-on-exec.
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0) refuse(report, START_EXEC, errno);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (options->sandbox.is_on && !sandbox_enter(&options->sandbox)) refuse(report, START_SANDBOX, errno);
    execvp(options->command[0], options->command);
    refuse(report, START_EXEC, errno);
}

pid_t command_start(const struct options *options, const struct cgroup *group, int input, int output, int errors,
                    enum start_step *step, int *why) {
    int report[2];
    *step = START_FORK;
    if (pipe2(report, O_CLOEXEC) != 0) {
        *why = errno;
        return -1;
    }
    pid_t supervisor = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        *why = errno;
        close(report[0]);
        close(report[1]);
        return -1;
    }
    if (pid == 0) become(options, group, input, output, errors, report[1], supervisor);
    close(report[1]);
    // End of file is the exec that closed it.
    struct failure failure;
    ssize_t count;
    do {
        count = read(report[0], &failure, sizeof failure);
    } while (count < 0 && errno == EINTR);
    close(report[0]);
    if (count != (ssize_t)sizeof failure) return pid;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    *step = failure.step;
    *why = failure.why;
    return -1;
}
