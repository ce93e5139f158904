#ifndef DSPY_SUPERVISOR_SANDBOX_H
#define DSPY_SUPERVISOR_SANDBOX_H

#include <stdbool.h>

enum { SANDBOX_PATHS = 64 };

// What code that nobody trusts may touch. Held by the kernel for the process and all it starts: Landlock (landlock(7))
// for files, a system call filter (seccomp(2)) for the network.
struct sandbox {
    bool is_on;
    bool allows_network;
    // May be read and executed below these.
    const char *readable[SANDBOX_PATHS];
    int readable_count;
    // May also be written below these.
    const char *writable[SANDBOX_PATHS];
    int writable_count;
};

// Applies it to the calling process, for good. False with errno; ENOSYS or EOPNOTSUPP when this kernel can't. Paths
// that don't exist are passed over.
bool sandbox_enter(const struct sandbox *sandbox);

// The Landlock version of this kernel, 0 without Landlock.
int sandbox_version(void);

#endif
