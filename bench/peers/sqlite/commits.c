// What SQLite alone commits a second, on the settings of the ledger: WAL, synchronous=FULL, a checkpoint every 4,000
// pages, prepared statements, one thread, one transaction a batch.
//
// usage: commits row DATABASE BATCH SECONDS        one row of an id and PAYLOAD a job: the least that keeps a job
//        commits ledger DATABASE BATCH SECONDS     the ledger's own rows and indexes: DATABASE is a copy of a ledger in
//                                                  which at least one job was submitted, whose rows are written again
//                                                  under new ids and numbers
//
// Prints jobs a second.

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *payload = "{\"command\":[\"true\"]}";

static sqlite3 *database;

static void fail(const char *what) {
    fprintf(stderr, "commits: %s: %s\n", what, sqlite3_errmsg(database));
    exit(1);
}

static void run(const char *sql) {
    if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK) fail(sql);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// A row as it was read, and the statement that writes it again.
struct copy {
    sqlite3_stmt *insert;
    sqlite3_value *values[64];
    const char *names[64];
    int columns;
};

static void copy_of(struct copy *copy, const char *table, const char *order) {
    char sql[4096];
    sqlite3_stmt *select;
    snprintf(sql, sizeof sql, "SELECT * FROM %s ORDER BY %s LIMIT 1", table, order);
    if (sqlite3_prepare_v2(database, sql, -1, &select, NULL) != SQLITE_OK) fail(sql);
    if (sqlite3_step(select) != SQLITE_ROW) fail("no job in the ledger");
    // Only what is not NULL: the ledger binds no more for a job that asks for nothing special.
    char names[2048] = "", marks[256] = "";
    for (int at = 0; at < sqlite3_column_count(select); at++) {
        if (sqlite3_column_type(select, at) == SQLITE_NULL) continue;
        const char *name = sqlite3_column_name(select, at);
        copy->values[copy->columns] = sqlite3_value_dup(sqlite3_column_value(select, at));
        copy->names[copy->columns] = strdup(name);
        if (copy->columns > 0) {
            strcat(names, ",");
            strcat(marks, ",");
        }
        strcat(names, name);
        strcat(marks, "?");
        copy->columns++;
    }
    snprintf(sql, sizeof sql, "INSERT INTO %s (%s) VALUES (%s)", table, names, marks);
    sqlite3_finalize(select);
    if (sqlite3_prepare_v2(database, sql, -1, &copy->insert, NULL) != SQLITE_OK) fail(sql);
}

static void write_copy(struct copy *copy, sqlite3_int64 number, const char *id) {
    for (int at = 0; at < copy->columns; at++) {
        const char *name = copy->names[at];
        if (strcmp(name, "number") == 0 || strcmp(name, "sequence") == 0 || strcmp(name, "last_sequence") == 0 ||
            strcmp(name, "job") == 0) {
            sqlite3_bind_int64(copy->insert, at + 1, number);
        } else if (strcmp(name, "id") == 0 || strcmp(name, "job_id") == 0) {
            sqlite3_bind_text(copy->insert, at + 1, id, -1, SQLITE_TRANSIENT);
        } else {
            sqlite3_bind_value(copy->insert, at + 1, copy->values[at]);
        }
    }
    if (sqlite3_step(copy->insert) != SQLITE_DONE) fail("insert");
    sqlite3_reset(copy->insert);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: commits row|ledger DATABASE BATCH SECONDS\n");
        return 2;
    }
    const int is_ledger = strcmp(argv[1], "ledger") == 0;
    const long batch = atol(argv[3]);
    const double seconds = atof(argv[4]);
    if (sqlite3_open(argv[2], &database) != SQLITE_OK) fail("open");
    run("PRAGMA journal_mode = WAL");
    run("PRAGMA synchronous = FULL");
    run("PRAGMA cache_size = -16000");
    run("PRAGMA wal_autocheckpoint = 4000");
    struct copy job = {0}, event = {0};
    sqlite3_stmt *row = NULL;
    if (is_ledger) {
        copy_of(&job, "jobs", "number DESC");
        copy_of(&event, "events", "sequence DESC");
    } else {
        run("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, id TEXT NOT NULL, payload BLOB NOT NULL)");
        if (sqlite3_prepare_v2(database, "INSERT INTO rows (id, payload) VALUES (?,?)", -1, &row, NULL) != SQLITE_OK)
            fail("prepare");
    }
    sqlite3_int64 number = 1000000000;
    long jobs = 0;
    const double start = now();
    double end = start;
    while (end - start < seconds) {
        run("BEGIN IMMEDIATE");
        for (long at = 0; at < batch; at++, number++, jobs++) {
            char id[48];
            // As long as a UUIDv7, and rising as they do.
            snprintf(id, sizeof id, "0192f0c0-0000-7000-8000-%012lld", (long long)number);
            if (is_ledger) {
                write_copy(&job, number, id);
                write_copy(&event, number, id);
            } else {
                sqlite3_bind_text(row, 1, id, -1, SQLITE_TRANSIENT);
                sqlite3_bind_blob(row, 2, payload, (int)strlen(payload), SQLITE_STATIC);
                if (sqlite3_step(row) != SQLITE_DONE) fail("insert");
                sqlite3_reset(row);
            }
        }
        run("COMMIT");
        end = now();
    }
    printf("%.1f\n", (double)jobs / (end - start));
    return 0;
}
