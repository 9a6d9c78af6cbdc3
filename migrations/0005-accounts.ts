import { type Kysely, sql } from 'kysely'

/** Users, the keys of their agents, and one-time tickets for streams. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  // A user is a tenant: its id is the tenant of everything made under it. username_key is what two
  // names have in common that a person takes for the same. password_hash is a PHC string.
  `CREATE TABLE users (
    id uuid PRIMARY KEY,
    username text NOT NULL,
    username_key text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp()
  )`,
  // The key itself is known to its owner alone; digest is the SHA-256 of it, in hex.
  `CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest text NOT NULL UNIQUE,
    prefix text NOT NULL,
    label text,
    may_register boolean NOT NULL,
    created_at timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz(3),
    revoked_at timestamptz(3),
    last_used_at timestamptz(3)
  )`,
  'CREATE INDEX api_keys_of_user ON api_keys (user_id)',
  `CREATE TABLE tickets (
    digest text PRIMARY KEY,
    principal jsonb NOT NULL,
    expires_at timestamptz NOT NULL
  )`,
  'CREATE INDEX tickets_over ON tickets (expires_at)',
]
