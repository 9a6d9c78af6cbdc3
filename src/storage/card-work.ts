import { type Kysely, sql } from 'kysely'
import type { CardWork } from '../core/card.ts'
import type { Tables } from './schema.ts'

/** What a request owes and owed to its reviewers: the sending of each channel, then each card. */
export async function listCardWork(db: Kysely<Tables>, requestId: string): Promise<CardWork[]> {
  const { rows } = await sql<CardWork>`
    SELECT 'ask' AS type, deliveries.channel, deliveries.attempts, deliveries.error,
      CASE WHEN deliveries.status = 'delivered' THEN 'done'
        WHEN deliveries.status = 'failed' THEN 'failed'
        WHEN requests.status = 'pending' THEN 'owed'
        ELSE 'skipped' END AS status,
      CASE WHEN deliveries.status = 'queued' AND requests.status = 'pending'
        THEN deliveries.due_at END AS "nextAttemptAt"
    FROM deliveries JOIN requests ON requests.id = deliveries.request_id
    WHERE deliveries.request_id = ${requestId}
    UNION ALL
    SELECT CASE WHEN requests.status = 'pending' AND cards.away_to IS NOT NULL
        THEN 'rearm' ELSE 'settle' END,
      cards.channel, cards.attempts, cards.error,
      CASE WHEN cards.closed AND cards.error IS NOT NULL THEN 'failed'
        WHEN cards.closed THEN 'done'
        WHEN requests.status <> 'pending' OR cards.away_to IS NOT NULL THEN 'owed'
        ELSE 'waiting' END,
      CASE WHEN NOT cards.closed AND (requests.status <> 'pending' OR cards.away_to IS NOT NULL)
        THEN cards.due_at END
    FROM cards JOIN requests ON requests.id = cards.request_id
    WHERE cards.request_id = ${requestId}
    ORDER BY type, channel`.execute(db)
  return rows
}

export async function countCardWork(db: Kysely<Tables>): Promise<{ owed: number; failed: number }> {
  const { rows } = await sql<{ owed: number; failed: number }>`
    SELECT (SELECT count(*) FROM deliveries JOIN requests ON requests.id = deliveries.request_id
        WHERE deliveries.status = 'queued' AND requests.status = 'pending')
      + (SELECT count(*) FROM cards JOIN requests ON requests.id = cards.request_id
        WHERE NOT cards.closed AND (requests.status <> 'pending' OR cards.away_to IS NOT NULL))
      AS owed,
      (SELECT count(*) FROM deliveries WHERE status = 'failed')
      + (SELECT count(*) FROM cards WHERE closed AND error IS NOT NULL) AS failed`.execute(db)
  return rows[0] ?? { owed: 0, failed: 0 }
}
