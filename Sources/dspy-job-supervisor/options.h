#ifndef DSPY_SUPERVISOR_OPTIONS_H
#define DSPY_SUPERVISOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "limits.h"
#include "sandbox.h"

// What the server asks of one supervisor; see usage() in options.c for each.
struct options {
    const char *dir;
    const char *cwd;       // NULL is dir.
    const char *input;     // Standard input, relative to dir; NULL is /dev/null.
    int lock_fd;           // -1: take the lock itself.
    int lifeline_fd;       // -1: none.
    int stdio_fd;          // The first of three; -1: a file or /dev/null, and captured output.
    int64_t timeout_ms;    // 0 is none.
    int64_t grace_ms;
    int64_t stdout_cap;
    int64_t stderr_cap;
    struct limits limits;
    struct cgroup_parents cgroups;
    struct sandbox sandbox;
    char **command;        // NULL-terminated.
};

enum parsed { PARSED_RUN, PARSED_HELP, PARSED_CHECK, PARSED_INVALID };

// Complains on standard error when it answers PARSED_INVALID.
enum parsed options_parse(int argc, char **argv, struct options *options);

#endif
