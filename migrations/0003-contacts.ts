import { type Kysely, sql } from 'kysely'

/** When a channel was last in touch, cards that owe a word about a silence, chats that moved, rates. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db)
}

const STATEMENTS = [
  `CREATE TABLE contacts (
    name text PRIMARY KEY,
    at timestamptz(3) NOT NULL
  )`,
  // The silence that an open card is to tell of; null when there is none to tell.
  'ALTER TABLE cards ADD COLUMN away_from timestamptz(3), ADD COLUMN away_to timestamptz(3)',
  'CREATE INDEX cards_away ON cards (due_at) WHERE away_to IS NOT NULL AND NOT closed',
  // Where an address of a channel is now: agents may go on naming the old one.
  `CREATE TABLE moved_addresses (
    channel text NOT NULL,
    address text NOT NULL,
    moved_to text NOT NULL,
    PRIMARY KEY (channel, address)
  )`,
  // How fast something may be done by all processes together; a row for each chat. Not logged: after a
  // crash of the database a burst more is allowed, and nothing is written twice on the way to a card.
  `CREATE UNLOGGED TABLE rates (
    key text PRIMARY KEY,
    at timestamptz NOT NULL
  )`,
]
