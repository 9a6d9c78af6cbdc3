import { createHash } from 'node:crypto'
import type pg from 'pg'

/** Statements that get a name. Ours are a few dozen; what is generated beyond that stays unnamed. */
const MAX_NAMED = 200

const names = new Map<string, string>()

/** The same name for the same text in every process, so that a pooler may share its connections. */
function nameOf(text: string): string | undefined {
  const known = names.get(text)
  if (known !== undefined || names.size >= MAX_NAMED) return known
  const name = `loopgate_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`
  names.set(text, name)
  return name
}

/**
 * Makes the pool's connections prepare every statement once. PostgreSQL parses and plans an unnamed
 * statement anew each time, which takes longer than running it.
 */
export function prepareStatements(pool: pg.Pool): void {
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    const preparing = (...args: unknown[]): unknown => {
      const [text, values] = args
      const name = typeof text === 'string' && Array.isArray(values) ? nameOf(text) : undefined
      return name === undefined ? query(...args) : query({ name, text, values })
    }
    Object.assign(client, { query: preparing })
  })
}
