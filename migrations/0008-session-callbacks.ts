import { type Kysely, sql } from 'kysely'

/** Callbacks of a whole session, and settling that sees those registered at the same moment. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // Each request has rows of its own in callbacks, one for every address here. The url is in no index:
  // it may be too long for one.
  `CREATE TABLE session_callbacks (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    session_id text NOT NULL,
    url text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions (tenant, id) ON DELETE CASCADE
  )`,
  // Says without a look at them whether there are any.
  'ALTER TABLE sessions ADD COLUMN has_callbacks boolean NOT NULL DEFAULT false',
  'CREATE INDEX session_callbacks_of ON session_callbacks (tenant, session_id)',
  // A function, because it looks anew: the statement that settles may have waited for a registration,
  // and sees the request's row as that left it, but not the callbacks that it made.
  `CREATE FUNCTION owe_callbacks(settled uuid, grace_seconds double precision) RETURNS void
    LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
      UPDATE callbacks
      SET status = 'owed', next_attempt_at = clock_timestamp(),
        due_at = clock_timestamp() + make_interval(secs => grace_seconds)
      WHERE request_id = settled AND status = 'waiting';
    END $$`,
  // By a hash of the url, which may be too long for an index.
  'ALTER TABLE disabled_endpoints DROP CONSTRAINT disabled_endpoints_pkey',
  `CREATE UNIQUE INDEX disabled_endpoints_of
    ON disabled_endpoints (tenant, session_id, hashtextextended(url, 0))`,
]
