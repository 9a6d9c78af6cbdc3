import { readFileSync } from 'node:fs'
import type { JSONWebKeySet } from 'jose'
import type { Environment } from '../config.ts'
import { type AuditReport, audit } from '../proof/audit.ts'
import { publicJwk } from '../proof/keys.ts'
import { withAuditSource } from '../storage/audit-source.ts'
import { PgReceiptKeyStore } from '../storage/receipt-key-store.ts'
import { withDatabase } from './database.ts'
import { readKeys, type Verdict } from './verify.ts'

/** The options of `loopgate audit verify`. */
export interface AuditCommand {
  /** The keys to trust: a URL or a file. Without it those in the database. */
  readonly jwks?: string | undefined
  /** A file of receipts that were kept elsewhere, one in a line. */
  readonly receipts?: string | undefined
  /** A file of checkpoints that were kept elsewhere, one in a line; log lines will do. */
  readonly checkpoints?: string | undefined
}

/** 0 when every row is as it was written, 1 when one is not. */
export async function verifyAudit(
  environment: Environment,
  { jwks, receipts, checkpoints }: AuditCommand,
): Promise<Verdict> {
  const report = await withDatabase(environment, async ({ db }) => {
    const keys = jwks === undefined ? await keysOf(new PgReceiptKeyStore(db)) : await readKeys(jwks)
    return withAuditSource(db, (source) =>
      audit(source, {
        keys: keys as JSONWebKeySet,
        receipts: tokensIn(receipts),
        checkpoints: tokensIn(checkpoints),
      }),
    )
  })
  return { exitCode: report.problemCount === 0 ? 0 : 1, text: tell(report) }
}

const keysOf = async (store: PgReceiptKeyStore) => ({ keys: (await store.all()).map(publicJwk) })

/** Whatever looks like a compact JWS. */
function tokensIn(path: string | undefined): string[] {
  if (path === undefined) return []
  return readFileSync(path, 'utf8').match(/[\w-]{20,}\.[\w-]{20,}\.[\w-]{80,}/g) ?? []
}

function tell({ problems, problemCount, counts }: AuditReport): string {
  const { sessions, events, unchained, requests, sealed, checkpoints, heads, prunedHeads } = counts
  const more = problemCount - problems.length
  return [
    ...problems,
    ...(more > 0 ? [`and ${more} more`] : []),
    `looked at ${sessions} sessions, ${events} events, ${requests} requests (${sealed} with a ` +
      `receipt), ${checkpoints} checkpoints with ${heads} heads`,
    ...(counts.receipts > 0 ? [`and at ${counts.receipts} receipts kept elsewhere`] : []),
    ...(unchained > 0 ? [`${unchained} events are older than the chain`] : []),
    ...(counts.deletedUntil
      ? [`deleted: events of requests that were settled up to ${counts.deletedUntil.toISOString()}`]
      : []),
    ...(prunedHeads > 0 ? [`${prunedHeads} heads are of deleted events`] : []),
    problemCount === 0 ? 'nothing was changed' : `${problemCount} rows are wrong`,
  ].join('\n')
}
