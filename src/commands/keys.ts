import type { Environment } from '../config.ts'
import type { StoredKey } from '../core/receipt.ts'
import { newKey } from '../proof/keys.ts'
import { PgReceiptKeyStore } from '../storage/receipt-key-store.ts'
import { withDatabase } from './database.ts'

/** The next key signs from now on. Returns what there is after it. */
export function rotateKeys(environment: Environment): Promise<string> {
  return withDatabase(environment, async ({ db }) => {
    const store = new PgReceiptKeyStore(db)
    await store.ensure(newKey)
    await store.rotate(await newKey())
    return table(await store.all())
  })
}

/** The keys, a line each. */
export function listKeys(environment: Environment): Promise<string> {
  return withDatabase(environment, async ({ db }) => table(await new PgReceiptKeyStore(db).all()))
}

const table = (keys: readonly StoredKey[]): string =>
  keys
    .map(({ kid, status, createdAt }) => {
      return `${status.padEnd(8)} ${kid}  made ${createdAt.toISOString()}`
    })
    .join('\n')
