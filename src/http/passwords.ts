import { argon2, randomBytes, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { Turns } from '../core/admission.ts'
import { LoopgateError } from '../core/errors.ts'

const derive = promisify(argon2)

/** OWASP's minimum for Argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. */
const MEMORY_KIB = 19_456
const PASSES = 2
const LANES = 1
const HASH_BYTES = 32
const SALT_BYTES = 16

/**
 * Hashings at once: one core is left to everything else, and one hashing fills a core for about
 * 40 ms. Those beyond wait, so long that nobody has gone by then.
 */
const AT_ONCE = Math.max(1, Math.min(4, availableParallelism() - 1))
const MAX_WAITING = 64

interface Hash {
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
  readonly salt: Buffer
  readonly digest: Buffer
}

/** What is verified for a user that is not there, so that the answer takes as long. */
const NOBODY: Hash = {
  memory: MEMORY_KIB,
  passes: PASSES,
  parallelism: LANES,
  salt: Buffer.alloc(SALT_BYTES),
  digest: Buffer.alloc(HASH_BYTES),
}

/** Hashes and verifies passwords with Argon2id (RFC 9106), few at once. */
export class Passwords {
  readonly #turns = new Turns(AT_ONCE)

  /**
   * A PHC string.
   * @throws {LoopgateError} UNAVAILABLE when too many wait.
   */
  hash(password: string): Promise<string> {
    return this.#inTurn(async () => {
      const salt = randomBytes(SALT_BYTES)
      return format({ ...NOBODY, salt, digest: await digestOf(password, { ...NOBODY, salt }) })
    })
  }

  /**
   * Whether it is the password of the hash, which is looked up when the turn has come; `lookUp` may
   * throw instead. Nobody's, which is undefined, takes as long.
   * @throws {LoopgateError} UNAVAILABLE when too many wait.
   */
  verify(password: string, lookUp: () => Promise<string | undefined>): Promise<boolean> {
    return this.#inTurn(async () => {
      const hash = await lookUp()
      const expected = hash === undefined ? NOBODY : parse(hash)
      const given = await digestOf(password, expected)
      return timingSafeEqual(given, expected.digest) && hash !== undefined
    })
  }

  async #inTurn<Answer>(task: () => Promise<Answer>): Promise<Answer> {
    if (this.#turns.waiting >= MAX_WAITING) {
      throw new LoopgateError('UNAVAILABLE', 'too many log in at once; try again', {
        retryAfterSeconds: 1 + Math.floor(Math.random() * 4),
      })
    }
    return this.#turns.take(task)
  }
}

function digestOf(password: string, { memory, passes, parallelism, salt, digest }: Hash) {
  return derive('argon2id', {
    message: password,
    nonce: salt,
    tagLength: digest.length,
    ...{ memory, passes, parallelism },
  })
}

const base64 = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '')

/** The PHC string format, with version 1.3 of Argon2. */
const format = ({ memory, passes, parallelism, salt, digest }: Hash): string =>
  `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(digest)}`

const PHC =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

function parse(text: string): Hash {
  const [, memory, passes, parallelism, salt = '', digest = ''] = PHC.exec(text) ?? []
  if (memory === undefined) throw new Error('a stored password is not a hash of ours')
  return {
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    salt: Buffer.from(salt, 'base64'),
    digest: Buffer.from(digest, 'base64'),
  }
}
