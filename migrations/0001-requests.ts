import { type Kysely, sql } from 'kysely'

/** Sessions, requests, the event log, cards, invitations, secrets. The first release. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // seq and epoch are those of the newest event. Events up to floor_seq are not kept, or never were;
  // floor_epoch makes the cursor at the floor recognisable.
  `CREATE TABLE sessions (
    tenant text NOT NULL,
    id text NOT NULL,
    client_id text NOT NULL,
    reviewers jsonb NOT NULL,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
    webhook_secret text NOT NULL,
    tag text NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    epoch text NOT NULL,
    floor_seq bigint NOT NULL DEFAULT 0,
    floor_epoch text NOT NULL,
    PRIMARY KEY (tenant, id)
  )`,
  // json, not jsonb, for what was asked: jsonb would reorder the keys that the reviewer sees.
  `CREATE TABLE requests (
    id uuid PRIMARY KEY,
    tenant text NOT NULL,
    session_id text NOT NULL,
    client_id text NOT NULL,
    message text NOT NULL,
    type text NOT NULL CHECK (type IN ('confirmation', 'input', 'choice')),
    options json NOT NULL,
    metadata json NOT NULL,
    reviewers jsonb NOT NULL,
    idempotency_key text,
    body_digest text,
    approval_ttl_seconds bigint,
    created_at timestamptz(3) NOT NULL,
    expires_at timestamptz(3) NOT NULL,
    status text NOT NULL DEFAULT 'pending'
      CHECK (status IN ('pending', 'decided', 'expired', 'canceled')),
    outcome text CHECK (outcome IN ('approved', 'rejected', 'answered', 'expired', 'canceled')),
    response text,
    comment text,
    decided_by jsonb,
    settled_by text,
    settled_at timestamptz(3),
    delivery jsonb NOT NULL,
    created_seq bigint NOT NULL,
    seq bigint NOT NULL,
    epoch text NOT NULL,
    FOREIGN KEY (tenant, session_id) REFERENCES sessions (tenant, id),
    CHECK ((status = 'pending') = (outcome IS NULL)),
    CHECK ((status = 'pending') = (settled_at IS NULL)),
    CHECK ((status = 'decided') = (decided_by IS NOT NULL))
  )`,
  `CREATE UNIQUE INDEX requests_idempotency ON requests (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL`,
  `CREATE INDEX requests_pending ON requests (tenant, client_id) WHERE status = 'pending'`,
  `CREATE INDEX requests_due ON requests (expires_at) WHERE status = 'pending'`,
  // state is where the request stood as of the event; what was asked is in the request, unchanged.
  // No foreign key: every event is inserted from its request's row, by the statement that locks it.
  `CREATE TABLE events (
    tenant text NOT NULL,
    session_id text NOT NULL,
    seq bigint NOT NULL,
    epoch text NOT NULL,
    type text NOT NULL,
    request_id uuid NOT NULL,
    at timestamptz(3) NOT NULL,
    state jsonb NOT NULL,
    PRIMARY KEY (tenant, session_id, seq)
  )`,
  `CREATE INDEX events_of_request ON events (request_id, seq)`,
  // due_at is when somebody may try (again): a claim moves it by the length of the lease.
  `CREATE TABLE deliveries (
    request_id uuid NOT NULL REFERENCES requests (id),
    channel text NOT NULL,
    status text NOT NULL CHECK (status IN ('queued', 'delivered', 'failed')),
    error text,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (request_id, channel)
  )`,
  `CREATE INDEX deliveries_due ON deliveries (due_at) WHERE status = 'queued'`,
  // A request may have several cards in a channel: an answer that was lost makes a second one.
  `CREATE TABLE cards (
    channel text NOT NULL,
    address text NOT NULL,
    message text NOT NULL,
    request_id uuid NOT NULL REFERENCES requests (id),
    closed boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (channel, address, message)
  )`,
  `CREATE INDEX cards_of_request ON cards (request_id)`,
  `CREATE INDEX cards_open ON cards (due_at) WHERE NOT closed`,
  `CREATE TABLE invitations (
    code_digest text PRIMARY KEY,
    tenant text NOT NULL,
    session_id text NOT NULL,
    channel text NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_by text,
    FOREIGN KEY (tenant, session_id) REFERENCES sessions (tenant, id)
  )`,
  // Made once, by whoever starts first, and the same for every process on this database.
  `CREATE TABLE secrets (
    name text PRIMARY KEY,
    value text NOT NULL
  )`,
]
