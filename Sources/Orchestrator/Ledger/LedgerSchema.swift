import GRDB

/// The tables of `ledger.sqlite`. A migration, once released, is never edited: a new one is added.
enum LedgerSchema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1: jobs, events, cursors") { database in
            // `number` is the sequence of the job's task_submitted event: the order of submission, an integer to refer
            // to, and a page token. Changing a job rewrites its whole row, so a large payload has a row of its own.
            try database.execute(
                sql: """
                    CREATE TABLE jobs (
                        number INTEGER PRIMARY KEY,
                        id TEXT NOT NULL UNIQUE,
                        class INTEGER NOT NULL,
                        state INTEGER NOT NULL,
                        priority INTEGER NOT NULL,
                        attempt INTEGER NOT NULL,
                        unstarted_attempts INTEGER NOT NULL,
                        submitted_at INTEGER NOT NULL,
                        started_at INTEGER,
                        finished_at INTEGER,
                        not_before INTEGER,
                        timeout_ns INTEGER,
                        max_attempts INTEGER NOT NULL,
                        initial_backoff_ns INTEGER,
                        max_backoff_ns INTEGER,
                        retry_on TEXT,
                        source TEXT NOT NULL,
                        labels TEXT,
                        exit_code INTEGER NOT NULL,
                        signal INTEGER NOT NULL,
                        failure_reason INTEGER,
                        error TEXT,
                        slurm_job_id TEXT,
                        cancel_reason TEXT,
                        cancel_source TEXT,
                        last_sequence INTEGER NOT NULL,
                        payload BLOB,
                        result BLOB
                    ) STRICT;
                    CREATE TABLE large_payloads (number INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;
                    CREATE INDEX jobs_open ON jobs (number) WHERE state < 4;
                    CREATE TABLE events (
                        sequence INTEGER PRIMARY KEY,
                        job INTEGER NOT NULL,
                        job_id TEXT NOT NULL,
                        type TEXT NOT NULL,
                        time INTEGER NOT NULL,
                        attempt INTEGER NOT NULL,
                        state INTEGER NOT NULL,
                        data BLOB NOT NULL,
                        source TEXT NOT NULL
                    ) STRICT;
                    CREATE INDEX events_by_job ON events (job);
                    CREATE TABLE cursors (name TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    -- Jobs by state, kept in every transaction: counting rows would read the whole history at start.
                    CREATE TABLE totals (state INTEGER PRIMARY KEY, jobs INTEGER NOT NULL) STRICT;
                    """)
        }
        migrator.registerMigration("jobs know their trace") { database in
            try database.execute(sql: "ALTER TABLE jobs ADD COLUMN trace_parent TEXT")
        }
        migrator.registerMigration("2: dependencies, deadlines, resources") { database in
            // `depends_on` is the ids, with spaces between, which no id contains.
            try database.execute(
                sql: """
                    ALTER TABLE jobs ADD COLUMN depends_on TEXT;
                    ALTER TABLE jobs ADD COLUMN deadline_ns INTEGER;
                    ALTER TABLE jobs ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;
                    ALTER TABLE jobs ADD COLUMN cpus REAL;
                    ALTER TABLE jobs ADD COLUMN memory_bytes INTEGER;
                    ALTER TABLE jobs ADD COLUMN gpus INTEGER;
                    ALTER TABLE jobs ADD COLUMN processes INTEGER;
                    """)
        }
        migrator.registerMigration("3: identity") { database in
            // What page tokens are keyed with, so that one of another ledger is not taken for one of this.
            try database.execute(
                sql: """
                    CREATE TABLE identity (key BLOB NOT NULL) STRICT;
                    INSERT INTO identity (key) VALUES (randomblob(16));
                    """)
        }
        migrator.registerMigration("4: published events") { database in
            // An agent's own ids of events, for as long as the events are kept.
            try database.execute(
                sql: """
                    CREATE TABLE published (id TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    CREATE INDEX published_by_sequence ON published (sequence);
                    """)
        }
        migrator.registerMigration("5: retention") { database in
            // `kept` holds running counts; the rows there are now are counted once.
            try database.execute(
                sql: """
                    ALTER TABLE jobs ADD COLUMN output_bytes INTEGER NOT NULL DEFAULT 0;
                    CREATE INDEX jobs_ended ON jobs (finished_at) WHERE state >= 4;
                    CREATE TABLE kept (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    INSERT INTO kept SELECT 'ended_jobs', count(*) FROM jobs WHERE state >= 4;
                    INSERT INTO kept SELECT 'outputs', count(*) FROM jobs WHERE state >= 4 AND attempt > 0;
                    """)
        }
        migrator.registerMigration("6: jobs that are gone") { database in
            // Whose events are still kept, until the last of them goes: their ids may be those of other jobs by now.
            try database.execute(
                sql: """
                    CREATE TABLE gone (
                        number INTEGER PRIMARY KEY, job_id TEXT NOT NULL, last_sequence INTEGER NOT NULL
                    ) STRICT;
                    CREATE INDEX gone_by_job_id ON gone (job_id);
                    CREATE INDEX gone_by_last_sequence ON gone (last_sequence);
                    INSERT INTO gone SELECT job, job_id, max(sequence) FROM events
                        WHERE job > 0 AND job NOT IN (SELECT number FROM jobs) GROUP BY job;
                    """)
        }
        migrator.registerMigration("7: batch jobs") { database in
            // The identity is in the names of batch jobs, so that two servers on one cluster keep apart.
            try database.execute(
                sql: """
                    ALTER TABLE jobs ADD COLUMN slurm TEXT;
                    CREATE INDEX jobs_by_slurm_job ON jobs (slurm_job_id) WHERE slurm_job_id IS NOT NULL;
                    CREATE TABLE slurm_identity (id TEXT NOT NULL) STRICT;
                    INSERT INTO slurm_identity (id) VALUES (lower(hex(randomblob(8))));
                    """)
        }
        migrator.registerMigration("8: claims that others have") { database in
            // Former versions cancelled what another server took over; the done files of such jobs are not this one's.
            try database.execute(
                sql: """
                    ALTER TABLE jobs ADD COLUMN claim INTEGER NOT NULL DEFAULT 0;
                    UPDATE jobs SET claim = 1 WHERE state = 6 AND cancel_source = 'file_queue';
                    """)
        }
        migrator.registerMigration("9: later events by job") { database in
            // A job's first event has the job's number for its sequence and needs no index.
            try database.execute(
                sql: """
                    DROP INDEX events_by_job;
                    CREATE INDEX later_events_by_job ON events (job) WHERE sequence <> job;
                    """)
        }
        migrator.registerMigration("10: totals of ended jobs only") { database in
            // A start reads the open jobs and can count them; their totals would be one more page in every commit.
            try database.execute(sql: "DELETE FROM totals WHERE state < ?", arguments: [JobState.succeeded.rawValue])
        }
        return migrator
    }
}
