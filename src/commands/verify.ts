import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { objection, type ReceiptKeys, readReceipt } from '../../client/receipt.ts'

/** A server of keys that says nothing for so long is not there. */
const FETCH_MS = 10_000

/** The options of `loopgate verify`. */
export interface VerifyOptions {
  /** Where the keys are: a URL or a file. */
  readonly jwks: string
  /** What was asked must have this digest. */
  readonly digest?: string | undefined
  /** Whether any authentic receipt will do. */
  readonly any?: boolean | undefined
}

/** What is told, and the exit code of whoever asked. */
export interface Verdict {
  readonly exitCode: 0 | 1 | 2 | 3
  readonly text: string
}

/**
 * 0 for a receipt that is authentic, approves, is not expired and is about what it should be (with
 * `any` for an authentic one); 1 for an authentic one that does not; 2 when that can not be told; 3
 * for what is not authentic.
 */
export async function verifyReceipt(receipt: string, options: VerifyOptions): Promise<Verdict> {
  let given: string
  let keys: ReceiptKeys
  try {
    given = (await readGiven(receipt)).trim()
    keys = await readKeys(options.jwks)
  } catch (error) {
    return { exitCode: 2, text: `it can not be told: ${(error as Error).message}` }
  }
  try {
    const claims = await readReceipt(given, keys)
    const facts = JSON.stringify(claims, null, 2)
    const why = options.any ? undefined : objection(claims, { ...options, now: Date.now() })
    if (why !== undefined) return { exitCode: 1, text: `authentic, but ${why}\n${facts}` }
    const what =
      claims.approved && !options.any ? 'authentic, approved and not expired' : 'authentic'
    return { exitCode: 0, text: `${what}\n${facts}` }
  } catch (error) {
    return { exitCode: 3, text: `not authentic: ${(error as Error).message}` }
  }
}

/** `-` is standard input; a file is read; anything else is the text itself. */
async function readGiven(given: string): Promise<string> {
  if (given === '-') return text(process.stdin)
  return existsSync(given) ? readFileSync(given, 'utf8') : given
}

/** @throws what to tell when there is no JWKS (RFC 7517) at the place. */
export async function readKeys(place: string): Promise<ReceiptKeys> {
  const value: unknown = JSON.parse(
    /^https?:\/\//.test(place) ? await fetchText(place) : await readFile(place, 'utf8'),
  )
  const keys =
    typeof value === 'object' && value !== null && 'keys' in value ? value.keys : undefined
  if (!Array.isArray(keys)) throw new Error(`${place} is no JWKS: it has no list of keys`)
  return { keys }
}

async function fetchText(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS) }).catch(
    (error: Error) => {
      const { message } = error.cause instanceof Error ? error.cause : error
      throw new Error(`no keys from ${url}: ${message}`)
    },
  )
  if (!response.ok) throw new Error(`no keys from ${url}: it answered ${response.status}`)
  return response.text()
}
