import * as z from 'zod'
import { codePoints, id, parse, text } from './fields.ts'

/** Bodies of the routes for accounts and keys. */

const MIN_PASSWORD = 8
const MAX_PASSWORD = 400
const MAX_USERNAME = 100

/** One name for what a person takes for the same: without regard to case, width and composition. */
export const usernameKey = (username: string): string =>
  username.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')

/**
 * One text for what is typed on different keyboards: RFC 8265, section 4.2.2 (other blanks are the
 * blank, and NFC; case and width stay as they are).
 */
const passwordText = (password: string): string =>
  password.replace(/\p{Zs}/gu, ' ').normalize('NFC')

/** Longer ones are no password of anybody, and are not hashed. */
export const isPassword = (password: string): boolean => codePoints(password) <= MAX_PASSWORD

const username = id
  .transform((name) => name.normalize('NFKC'))
  .refine((name) => codePoints(name) <= MAX_USERNAME, {
    error: `must be at most ${MAX_USERNAME} characters`,
  })
  .refine((name) => name === name.trim() && !/\s\s/u.test(name), {
    error: 'must not begin or end with a blank, or have two in a row',
  })

const password = z
  .string()
  .transform(passwordText)
  .refine((given) => codePoints(given) >= MIN_PASSWORD, {
    error: `must be at least ${MIN_PASSWORD} characters`,
  })
  .refine(isPassword, { error: `must be at most ${MAX_PASSWORD} characters` })

const account = z
  .object({ username, password })
  .refine((given) => usernameKey(given.password) !== usernameKey(given.username), {
    path: ['password'],
    error: 'must not be the username',
  })

/** @throws {LoopgateError} INVALID_INPUT. */
export const parseAccount = (body: unknown) => parse(account, body)

/** What does not fit is a wrong credential, and not a mistake in a field. */
const login = z.object({ username: z.string(), password: z.string() })

/** @throws {LoopgateError} INVALID_INPUT. */
export function parseLogin(body: unknown) {
  const given = parse(login, body)
  const name = username.safeParse(given.username)
  return {
    usernameKey: name.success ? usernameKey(name.data) : undefined,
    password: passwordText(given.password),
  }
}

const key = z.object({
  label: text(200)
    .nullish()
    .transform((label) => label ?? null),
  expires_at: z.iso
    .datetime({ offset: true, error: 'must be a time such as 2026-12-31T23:59:59Z' })
    .nullish()
    .transform((at) => (at ? new Date(at) : null))
    .refine((at) => at === null || at.getTime() > Date.now(), { error: 'must be in the future' }),
  may_register: z.boolean().optional().default(true),
})

/** @throws {LoopgateError} INVALID_INPUT. */
export function parseKey(body: unknown) {
  const { label, expires_at: expiresAt, may_register: mayRegister } = parse(key, body ?? {})
  return { label, expiresAt, mayRegister }
}
