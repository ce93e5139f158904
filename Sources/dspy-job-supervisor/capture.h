#ifndef DSPY_SUPERVISOR_CAPTURE_H
#define DSPY_SUPERVISOR_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// One output stream of the command: a pipe pumped into a file up to a cap. What comes after the cap is read and dropped,
// so that the command never stands still; its last bytes are kept aside, because a result or an error line is usually
// the last thing a program says.
struct capture {
    const char *name;  // Of the file.
    int read_end;      // -1 once everything was read.
    int write_end;     // For the command; -1 once it has it.
    int file;
    int64_t cap;
    int64_t seen;
    int64_t kept;
    char *tail;  // The last TAIL_BYTES bytes seen, as a ring; NULL until something was dropped.
    size_t tail_at;
    bool tail_full;
};

// False with errno.
bool capture_open(struct capture *capture, const char *name, int64_t cap);

// Reads what is there now, at most `most` bytes.
void capture_pump(struct capture *capture, int64_t most);

bool capture_truncated(const struct capture *capture);

// Closes the file, and leaves NAME.tail when something was dropped.
void capture_finish(struct capture *capture);

#endif
