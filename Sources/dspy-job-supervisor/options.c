#include "options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *to) {
    fputs("usage: dspy-job-supervisor --dir DIR [options] -- PROGRAM [ARGUMENT...]\n"
          "\n"
          "Runs one attempt of a job and leaves a record of it, whatever becomes of the server that\n"
          "started it. The command's environment is the supervisor's own. SIGTERM cancels the attempt.\n"
          "\n"
          "  --dir DIR         the attempt's directory: pid, lock, stdout, stderr and exit are written here\n"
          "  --lock-fd N       an inherited descriptor that holds the lock on DIR/lock (default: lock it here)\n"
          "  --cwd DIR         the command's working directory (default: the attempt's directory)\n"
          "  --stdin FILE      the command's standard input, relative to DIR (default: /dev/null)\n"
          "  --timeout-ms N    end the command after N milliseconds (default 0: never)\n"
          "  --grace-ms N      from SIGTERM to SIGKILL, in milliseconds (default 5000)\n"
          "  --stdout-cap N    bytes of standard output to keep (default 16777216)\n"
          "  --stderr-cap N    bytes of standard error to keep (default 16777216)\n"
          "  --open-files N    the command's soft limit of open files (default: the supervisor's own)\n"
          "  --help            this text\n"
          "\n"
          "DIR/exit holds one key=value a line, the last being end=1. Exit status: 0 when the record was\n"
          "written, 64 for wrong options, 74 when DIR can't be written, 75 when the lock is held elsewhere.\n",
          to);
}

static bool number(const char *option, const char *text, int64_t most, int64_t *into) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > most) {
        fprintf(stderr, "dspy-job-supervisor: %s must be a number from 0 to %lld, not \"%s\"\n", option,
                (long long)most, text);
        return false;
    }
    *into = value;
    return true;
}

enum parsed options_parse(int argc, char **argv, struct options *options) {
    *options = (struct options){
        .lock_fd = -1, .grace_ms = 5000, .stdout_cap = 16 << 20, .stderr_cap = 16 << 20};
    const int64_t longest_ms = INT64_MAX / 4000000;
    int at = 1;
    for (; at < argc; at++) {
        const char *name = argv[at];
        if (strcmp(name, "--") == 0) {
            at++;
            break;
        }
        if (strcmp(name, "--help") == 0) {
            usage(stdout);
            return PARSED_HELP;
        }
        if (at + 1 >= argc) {
            fprintf(stderr, "dspy-job-supervisor: \"%s\" needs a value; see --help\n", name);
            return PARSED_INVALID;
        }
        const char *value = argv[++at];
        bool valid = true;
        int64_t parsed = 0;
        if (strcmp(name, "--dir") == 0) {
            options->dir = value;
        } else if (strcmp(name, "--cwd") == 0) {
            options->cwd = value;
        } else if (strcmp(name, "--stdin") == 0) {
            options->input = value;
        } else if (strcmp(name, "--lock-fd") == 0) {
            valid = number(name, value, INT_MAX, &parsed);
            options->lock_fd = (int)parsed;
        } else if (strcmp(name, "--timeout-ms") == 0) {
            valid = number(name, value, longest_ms, &options->timeout_ms);
        } else if (strcmp(name, "--grace-ms") == 0) {
            valid = number(name, value, longest_ms, &options->grace_ms);
        } else if (strcmp(name, "--stdout-cap") == 0) {
            valid = number(name, value, INT64_MAX, &options->stdout_cap);
        } else if (strcmp(name, "--stderr-cap") == 0) {
            valid = number(name, value, INT64_MAX, &options->stderr_cap);
        } else if (strcmp(name, "--open-files") == 0) {
            valid = number(name, value, INT64_MAX, &options->open_files);
        } else {
            fprintf(stderr, "dspy-job-supervisor: unknown option \"%s\"; see --help\n", name);
            valid = false;
        }
        if (!valid) return PARSED_INVALID;
    }
    if (options->dir == NULL || at >= argc) {
        fputs("dspy-job-supervisor: --dir and a command after -- are needed; see --help\n", stderr);
        return PARSED_INVALID;
    }
    options->command = argv + at;
    return PARSED_RUN;
}
