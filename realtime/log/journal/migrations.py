"""The schema of the journal, in steps. A step that was released is never changed."""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        start_time INTEGER NOT NULL,
        end_time INTEGER,
        duration_seconds REAL,
        summary TEXT,
        summary_status TEXT NOT NULL,
        unfinished INTEGER NOT NULL,
        left_at INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user_id, start_time DESC);
    CREATE INDEX sessions_open ON sessions (session_id) WHERE end_time IS NULL;
    CREATE INDEX sessions_to_sum_up ON sessions (session_id)
        WHERE summary_status IN ('pending', 'failed');
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        run_id TEXT,
        event_type TEXT NOT NULL,
        content TEXT NOT NULL,
        payload BLOB NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX events_in_order ON events (session_id, seq);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    """,
    "ALTER TABLE sessions ADD COLUMN share_key TEXT",
    "CREATE INDEX events_done ON events (created_at) WHERE event_type = 'done'",
    """
    CREATE TABLE outputs (
        id INTEGER PRIMARY KEY,
        output_ref TEXT NOT NULL UNIQUE,
        session_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        data BLOB NOT NULL
    );
    CREATE INDEX outputs_of_session ON outputs (session_id);
    """,
    """
    ALTER TABLE sessions ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE sessions ADD COLUMN shipped INTEGER NOT NULL DEFAULT 0;
    UPDATE sessions SET revision = 1 + coalesce(
        (SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);
    CREATE INDEX sessions_to_ship ON sessions (session_id) WHERE revision > shipped;
    CREATE TABLE quarantine (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        event_type TEXT NOT NULL,
        content TEXT NOT NULL,
        payload BLOB NOT NULL,
        created_at INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX quarantine_rows ON quarantine (session_id, epoch, ifnull(seq, 0));
    """,
    "CREATE TABLE loose (id INTEGER PRIMARY KEY, tokens BLOB NOT NULL)",
    "ALTER TABLE events ADD COLUMN provider_state BLOB",
    """
    CREATE TABLE files (
        file_id TEXT PRIMARY KEY,
        session_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT NOT NULL,
        size INTEGER NOT NULL,
        digest TEXT NOT NULL,
        created_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX files_of_session ON files (session_id);
    CREATE INDEX files_by_digest ON files (digest);
    """,
)
