import * as z from 'zod'
import { LoopgateError } from '../core/errors.ts'
import { checkJson, pointer } from './json.ts'

/** Fields that occur in more than one body, query or frame. */

export const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

/** What nobody sees: default-ignorable, control and format characters. */
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}]/gu

/** What is left of a text for the eye. */
export const visiblePart = (text: string): string =>
  text.replace(INVISIBLE, '').replace(/\s+/gu, ' ').trim()

/** Text of 1 to `max` code points that is not only blanks. */
export const text = (max: number) =>
  z
    .string()
    .refine((value) => value.length <= 2 * max && codePoints(value) <= max, {
      error: `must be at most ${max} characters`,
    })
    .refine((value) => visiblePart(value) !== '', { error: 'must not be empty or only blanks' })

/** 1 to 200 printable characters. */
export const id = z
  .string()
  .refine((value) => value.length <= 400 && codePoints(value) <= 200, {
    error: 'must be at most 200 characters',
  })
  .refine((value) => visiblePart(value) !== '', { error: 'must not be empty' })
  .refine((value) => !/[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value), {
    error: 'must be printable: no control or invisible characters',
  })

/** A cursor as a client sends it. What is no cursor of ours is not an error, only not continued. */
export const since = z.string().max(200)

/** Longest hold of a waiting call, in seconds: proxies cut at 60. Longer ones are shortened. */
export const MAX_WAIT_SECONDS = 50

/** Seconds to wait, in a query. */
export const waitSeconds = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,6})?$/, { error: 'must be a number of seconds, 0 or more' })
  .transform((value) => Math.min(Number(value), MAX_WAIT_SECONDS))

/** @throws {LoopgateError} INVALID_INPUT that names every field that is wrong. */
export function parse<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  checkJson(input)
  const result = schema.safeParse(input, {
    error: ({ code, input: given }) =>
      given === undefined && (code === 'invalid_type' || code === 'invalid_union')
        ? 'is required'
        : undefined,
  })
  if (result.success) return result.data
  const issues = result.error.issues.map(({ path, message }) => ({
    path: path.map((key) => `/${pointer(key)}`).join(''),
    message,
  }))
  const detail = issues.map(({ path, message }) => `${path || 'input'}: ${message}`).join('; ')
  throw new LoopgateError('INVALID_INPUT', detail, { issues })
}
