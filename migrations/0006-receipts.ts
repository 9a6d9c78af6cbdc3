import { type Kysely, sql } from 'kysely'

/** Receipts and the keys that sign them, approvals that were spent, the hash chain and its checkpoints. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // Private keys as JWK. A retired one signs nothing new; it repeats the receipts that it signed.
  `CREATE TABLE receipt_keys (
    kid text PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('current', 'next', 'retired')),
    private_jwk json NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
    current_from timestamptz(3),
    retired_at timestamptz(3)
  )`,
  `CREATE UNIQUE INDEX receipt_keys_in_use ON receipt_keys (status) WHERE status <> 'retired'`,
  // digest is that of what was asked. The other three are fixed by the statement that settles, so that
  // the receipt has the same bytes for ever. No foreign key: every settling would lock the row of the
  // one key there is. Null in what was settled before there were receipts.
  `ALTER TABLE requests
    ADD COLUMN digest text,
    ADD COLUMN receipt_kid text,
    ADD COLUMN receipt_issuer text,
    ADD COLUMN shown_digest text`,
  // The text of the card, as it was sent; null when its sending was never confirmed.
  'ALTER TABLE cards ADD COLUMN shown text',
  `CREATE TABLE consumptions (
    request_id uuid PRIMARY KEY REFERENCES requests (id),
    consumed_at timestamptz(3) NOT NULL DEFAULT statement_timestamp(),
    consumed_by text NOT NULL
  )`,
  // chain is the hash of the session's newest event, floor_chain that of the event at its floor;
  // empty before the first. An event of before has no hash.
  `ALTER TABLE sessions
    ADD COLUMN chain text NOT NULL DEFAULT '',
    ADD COLUMN floor_chain text NOT NULL DEFAULT ''`,
  'ALTER TABLE events ADD COLUMN hash text',
  // jws signs the number, the checkpoint before and the digest of the heads.
  `CREATE TABLE checkpoints (
    tenant text NOT NULL,
    number bigint NOT NULL,
    jws text NOT NULL,
    PRIMARY KEY (tenant, number)
  )`,
  // The heads that have moved since the checkpoint before.
  `CREATE TABLE checkpoint_heads (
    tenant text NOT NULL,
    session_id text NOT NULL,
    seq bigint NOT NULL,
    hash text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (tenant, session_id, seq),
    FOREIGN KEY (tenant, number) REFERENCES checkpoints (tenant, number)
  )`,
  'CREATE INDEX checkpoint_heads_of ON checkpoint_heads (tenant, number)',
]
