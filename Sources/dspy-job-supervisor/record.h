#ifndef DSPY_SUPERVISOR_RECORD_H
#define DSPY_SUPERVISOR_RECORD_H

#include <stdbool.h>
#include <stdint.h>

// Where starting the command failed; the words stand in the record.
enum start_step {
    START_OK,
    START_OUTPUT,
    START_INPUT,
    START_CGROUP,
    START_FORK,
    START_LIMITS,
    START_CWD,
    START_SANDBOX,
    START_EXEC,
};

// How the attempt ended: what DIR/exit says.
struct record {
    enum start_step failed_step;
    int failed_errno;
    int status;  // As wait(2) gives it; meaningless when a step failed.
    bool timed_out;
    bool cancelled;
    bool orphaned;  // Cancelled because its lifeline broke.
    bool leftovers;  // Descendants that SIGKILL did not end in time.
    bool out_of_memory;   // The kernel, or the supervisor, killed some of it for want of memory.
    bool refused_forks;   // It reached its limit of processes.
    int64_t stdout_bytes, stderr_bytes;
    bool stdout_truncated, stderr_truncated;
    int64_t started_ns, finished_ns;  // Wall clock.
};

// DIR/pid: "<pid> <start time in clock ticks since boot>", which names this process even after its pid is used again.
// All paths are relative to the current directory, DIR. False with errno when it can't be written.
bool record_write_pid(void);

// DIR/exit, atomically, once there is room for it.
bool record_write_exit(const struct record *record);

// After a write that failed because of `why`: pauses and returns true when it is worth another try. A full disk is
// waited out, however long that takes, as what is not written down is lost; other errors of the disk for a minute since
// `since_ms` (monotonic).
bool disk_may_recover(int why, int64_t since_ms);

int64_t wall_ns(void);
int64_t monotonic_ms(void);

#endif
