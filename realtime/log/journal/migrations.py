"""The schema of the journal, in steps. A step that was released is never changed.

docs/upgrade.md says what each brought.
"""

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
    ALTER TABLE sessions ADD COLUMN key TEXT;
    UPDATE sessions SET key = session_id;
    CREATE UNIQUE INDEX sessions_by_key ON sessions (key);
    INSERT INTO meta VALUES ('sessions', 0);
    ALTER TABLE events RENAME TO log;
    ALTER TABLE log RENAME COLUMN session_id TO session;
    ALTER TABLE log ADD COLUMN text_from INTEGER;
    ALTER TABLE log ADD COLUMN first_piece INTEGER;
    ALTER TABLE log ADD COLUMN last_piece INTEGER;
    CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TRIGGER log_without_texts AFTER DELETE ON log WHEN OLD.first_piece IS NOT NULL BEGIN
        DELETE FROM texts WHERE id BETWEEN OLD.first_piece AND OLD.last_piece;
    END;
    CREATE VIEW events AS SELECT
        log.id, session_id, log.epoch, seq, first_seq, run_id, event_type,
        CASE WHEN first_piece IS NOT NULL THEN (
            SELECT group_concat(text, '') FROM (
                SELECT text FROM texts WHERE texts.id BETWEEN first_piece AND last_piece
                ORDER BY texts.id))
        WHEN text_from IS NOT NULL THEN (
            SELECT group_concat(text, '') FROM (
                SELECT coalesce(texts.text, said.content) AS text FROM log AS said
                LEFT JOIN texts ON texts.id BETWEEN said.first_piece AND said.last_piece
                WHERE said.session = log.session AND said.seq BETWEEN log.text_from AND log.seq
                  AND said.event_type = 'token'
                  AND CAST(said.payload AS TEXT) ->> 'kind' = 'text'
                ORDER BY said.seq, texts.id))
        ELSE content END AS content,
        payload, created_at, provider_state, text_from, user_id AS owner
    FROM log JOIN sessions ON sessions.key = log.session;
    CREATE VIEW session_messages AS
    SELECT session_id, CAST(payload AS TEXT) ->> 'message_id' AS message_id, 'user' AS role,
        content AS text, created_at, NULL AS status, run_id, max(seq) AS seq
    FROM events WHERE event_type = 'user_message' GROUP BY session_id, message_id
    UNION ALL
    SELECT session_id, message_id, 'assistant', coalesce(
            (SELECT CASE WHEN text_from IS NOT NULL OR content <> CAST(payload AS TEXT) ->> 'status'
                THEN content END FROM events WHERE events.id = done),
            (SELECT group_concat(content, '') FROM (
                SELECT content FROM events AS said
                WHERE said.session_id = answers.session_id AND said.event_type = 'token'
                  AND CAST(said.payload AS TEXT) ->> 'kind' = 'text'
                  AND CAST(said.payload AS TEXT) ->> 'message_id' = message_id
                  AND NOT EXISTS (SELECT 1 FROM events AS cut
                    WHERE cut.session_id = said.session_id AND cut.seq > said.seq
                      AND cut.event_type = 'run'
                      AND CAST(cut.payload AS TEXT) ->> 'message_id' = message_id
                      AND CAST(cut.payload AS TEXT) ->> 'reset_to'
                        <= CAST(said.payload AS TEXT) ->> 'offset')
                ORDER BY seq)), ''),
        created_at,
        coalesce((SELECT CAST(payload AS TEXT) ->> 'status' FROM log WHERE log.id = done),
            'running'),
        run_id, seq
    FROM (
        SELECT session_id, CAST(payload AS TEXT) ->> 'message_id' AS message_id, min(seq) AS seq,
            created_at, run_id, (
                SELECT id FROM events AS done
                WHERE done.session_id = run.session_id AND done.event_type = 'done'
                  AND CAST(done.payload AS TEXT) ->> 'message_id'
                    = CAST(run.payload AS TEXT) ->> 'message_id'
                ORDER BY seq DESC LIMIT 1) AS done
        FROM events AS run WHERE event_type = 'run'
        GROUP BY session_id, message_id) AS answers;
    """,
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
    """
    CREATE TABLE counts (
        session TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        start_time INTEGER NOT NULL,
        messages INTEGER NOT NULL DEFAULT 0,
        answers INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cost REAL NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    INSERT INTO meta SELECT 'uncounted', '' WHERE EXISTS (SELECT 1 FROM sessions);
    CREATE TABLE leaving (session TEXT PRIMARY KEY, session_id TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX sessions_by_time
        ON sessions (start_time DESC, user_id, end_time, duration_seconds);
    CREATE INDEX sessions_by_end ON sessions (end_time) WHERE end_time IS NOT NULL;
    """,
    """
    ALTER TABLE sessions ADD COLUMN title TEXT;
    ALTER TABLE sessions ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN active_at INTEGER;
    ALTER TABLE sessions ADD COLUMN status TEXT NOT NULL DEFAULT 'idle';
    ALTER TABLE sessions ADD COLUMN last_text TEXT;
    ALTER TABLE sessions ADD COLUMN unread INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sessions ADD COLUMN doc INTEGER;
    UPDATE sessions SET active_at = coalesce(end_time, start_time) WHERE EXISTS (
        SELECT 1 FROM log WHERE log.session = sessions.key AND event_type = 'user_message');
    CREATE INDEX sessions_listed
        ON sessions (user_id, archived, pinned DESC, active_at DESC, session_id DESC)
        WHERE active_at IS NOT NULL;
    CREATE UNIQUE INDEX sessions_by_doc
        ON sessions (doc, archived, pinned, active_at, session_id) WHERE doc IS NOT NULL;
    CREATE VIRTUAL TABLE said_fts USING fts5 (
        words, content = '', detail = none, tokenize = 'ascii');
    DROP INDEX events_done;
    CREATE INDEX log_used ON log (created_at) WHERE event_type IN ('done', 'session_updated');
    """,
    """
    DROP TABLE said_fts;
    CREATE VIRTUAL TABLE said_fts USING fts5 (
        words, content = '', detail = none, tokenize = 'ascii');
    UPDATE sessions SET doc = NULL WHERE doc IS NOT NULL;
    DELETE FROM meta WHERE name = 'indexed';
    """,
    """
    DROP TABLE said_fts;
    CREATE VIRTUAL TABLE said_fts USING fts5 (
        words, content = '', detail = none, tokenize = 'ascii');
    UPDATE sessions SET doc = NULL WHERE doc IS NOT NULL;
    DELETE FROM meta WHERE name = 'indexed';
    INSERT INTO said_fts (said_fts, rank) VALUES ('automerge', 0);
    INSERT INTO said_fts (said_fts, rank) VALUES ('crisismerge', 64);
    DELETE FROM counts;
    INSERT OR REPLACE INTO meta SELECT 'uncounted', '' WHERE EXISTS (SELECT 1 FROM sessions);
    """,
    """
    CREATE TABLE followers (follower TEXT PRIMARY KEY, cursor INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE followed (
        follower TEXT NOT NULL,
        session TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (session, follower)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE leaving ADD COLUMN blanked INTEGER DEFAULT 0;
    CREATE INDEX leaving_to_blank ON leaving (session) WHERE blanked IS NOT NULL;
    DROP INDEX log_used;
    CREATE INDEX log_used ON log (created_at)
        WHERE event_type IN ('done', 'session_updated', 'summary');
    """,
    """
    CREATE TABLE days (
        user_id TEXT NOT NULL,
        day INTEGER NOT NULL,
        sessions INTEGER NOT NULL DEFAULT 0,
        sessions_ended INTEGER NOT NULL DEFAULT 0,
        duration_seconds REAL NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL DEFAULT 0,
        answers INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cost REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (user_id, day)
    ) WITHOUT ROWID;
    INSERT INTO days
        SELECT sessions.user_id, sessions.start_time / 86400000, count(*), count(end_time),
            total(duration_seconds), coalesce(sum(messages), 0), coalesce(sum(answers), 0),
            coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), total(cost)
        FROM sessions LEFT JOIN counts ON counts.session = key GROUP BY 1, 2;
    INSERT INTO days
        SELECT '', day, sum(sessions), sum(sessions_ended), sum(duration_seconds), sum(messages),
            sum(answers), sum(input_tokens), sum(output_tokens), sum(cost)
        FROM days GROUP BY day;
    CREATE TRIGGER days_begun AFTER INSERT ON sessions BEGIN
        INSERT OR IGNORE INTO days (user_id, day)
            VALUES ('', NEW.start_time / 86400000), (NEW.user_id, NEW.start_time / 86400000);
        UPDATE days SET sessions = sessions + 1,
            sessions_ended = sessions_ended + (NEW.end_time IS NOT NULL),
            duration_seconds = duration_seconds + coalesce(NEW.duration_seconds, 0)
        WHERE user_id IN ('', NEW.user_id) AND day = NEW.start_time / 86400000;
    END;
    CREATE TRIGGER days_ended AFTER UPDATE OF end_time, duration_seconds ON sessions
    WHEN OLD.end_time IS NOT NEW.end_time OR OLD.duration_seconds IS NOT NEW.duration_seconds BEGIN
        UPDATE days SET
            sessions_ended = sessions_ended + (NEW.end_time IS NOT NULL)
                - (OLD.end_time IS NOT NULL),
            duration_seconds = duration_seconds + coalesce(NEW.duration_seconds, 0)
                - coalesce(OLD.duration_seconds, 0)
        WHERE user_id IN ('', NEW.user_id) AND day = NEW.start_time / 86400000;
    END;
    CREATE TRIGGER days_counted AFTER UPDATE ON counts BEGIN
        UPDATE days SET messages = messages + NEW.messages - OLD.messages,
            answers = answers + NEW.answers - OLD.answers,
            input_tokens = input_tokens + NEW.input_tokens - OLD.input_tokens,
            output_tokens = output_tokens + NEW.output_tokens - OLD.output_tokens,
            cost = cost + NEW.cost - OLD.cost
        WHERE user_id IN ('', NEW.user_id) AND day = NEW.start_time / 86400000;
    END;
    CREATE TRIGGER days_uncounted AFTER DELETE ON counts BEGIN
        UPDATE days SET messages = messages - OLD.messages, answers = answers - OLD.answers,
            input_tokens = input_tokens - OLD.input_tokens,
            output_tokens = output_tokens - OLD.output_tokens, cost = cost - OLD.cost
        WHERE user_id IN ('', OLD.user_id) AND day = OLD.start_time / 86400000;
    END;
    CREATE TRIGGER days_gone AFTER DELETE ON sessions BEGIN
        UPDATE days SET sessions = sessions - 1,
            sessions_ended = sessions_ended - (OLD.end_time IS NOT NULL),
            duration_seconds = duration_seconds - coalesce(OLD.duration_seconds, 0)
        WHERE user_id IN ('', OLD.user_id) AND day = OLD.start_time / 86400000;
        DELETE FROM days WHERE user_id IN ('', OLD.user_id) AND day = OLD.start_time / 86400000
            AND sessions = 0;
    END;
    """,
)
