import { sql, type Transaction } from 'kysely'
import type { Tables } from './schema.ts'

/** Waits until no other transaction holds the same name. Ends with the transaction. */
export async function takeTurn(trx: Transaction<Tables>, name: string): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(trx)
}

/** Held by whoever asks for a client, and by whoever needs that nothing is asked. */
export const clientTurn = (tenant: string, clientId: string): string =>
  `client ${tenant} ${clientId}`
