import { type Kysely, sql } from 'kysely'

/** Callbacks: what settled requests owe to the addresses that their agents named. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // Says without a look at the callbacks whether settling has to touch any.
  'ALTER TABLE requests ADD COLUMN has_callbacks boolean NOT NULL DEFAULT false',
  // The id is the webhook-id of every attempt. due_at is when somebody must look at it (again).
  // failures counts since the last resend, and is the place in the schedule; attempts counts all.
  `CREATE TABLE callbacks (
    id uuid PRIMARY KEY,
    request_id uuid NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    url text NOT NULL,
    status text NOT NULL DEFAULT 'waiting'
      CHECK (status IN ('waiting', 'owed', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT 'infinity',
    next_attempt_at timestamptz(3),
    error text
  )`,
  'CREATE INDEX callbacks_of_request ON callbacks (request_id)',
  `CREATE INDEX callbacks_due ON callbacks (due_at) WHERE status = 'owed'`,
  `CREATE INDEX callbacks_dead ON callbacks (id) WHERE status = 'failed'`,
  `CREATE TABLE callback_attempts (
    callback_id uuid NOT NULL REFERENCES callbacks (id) ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz(3) NOT NULL,
    status_code integer,
    error text,
    duration_ms integer NOT NULL,
    PRIMARY KEY (callback_id, number)
  )`,
  // Addresses that answered 410 Gone: nothing of the session is posted there until a resend.
  `CREATE TABLE disabled_endpoints (
    tenant text NOT NULL,
    session_id text NOT NULL,
    url text NOT NULL,
    disabled_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, session_id, url),
    FOREIGN KEY (tenant, session_id) REFERENCES sessions (tenant, id) ON DELETE CASCADE
  )`,
]
