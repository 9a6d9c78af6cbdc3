import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'
import * as z from 'zod'
import { type PlainOption, readLabel, settleEffects } from '../core/approval.ts'
import { invalid } from '../core/errors.ts'
import type { Registration } from '../core/hub.ts'
import type { Submission } from '../core/ports.ts'
import { APPROVAL_TTL_SECONDS } from '../core/receipt.ts'
import { type Answer, INLINE, type JsonObject } from '../core/request.ts'
import { id, parse, since, text, waitSeconds } from './fields.ts'
import { isAlike, mayPassForDoubt, pretense } from './look-alikes.ts'

/** Bodies and queries, the same for every transport, and what they mean to the core. */

export const MAX_BODY_BYTES = 256 * 1024
/** Code points of a message. */
export const MAX_MESSAGE = 20_000
const MAX_METADATA_BYTES = 32 * 1024
const MAX_TIMEOUT_SECONDS = 2_592_000

/** A Telegram user (positive) or group (negative). */
const telegramId = z
  .int({ error: 'must be a whole number that JSON carries exactly' })
  .refine((value) => value !== 0, { error: 'must not be 0' })

const registration = z
  .object({
    session_id: id,
    client_id: id,
    telegram_id: telegramId.optional(),
    approvers: z
      .array(z.int().positive({ error: 'must be the numeric id of a Telegram user' }))
      .max(100)
      .optional(),
    inline_answers: z.boolean().optional(),
  })
  .refine(
    ({ telegram_id, approvers = [] }) =>
      telegram_id === undefined ||
      telegram_id < 0 ||
      approvers.every((approver) => approver === telegram_id),
    {
      path: ['approvers'],
      error: 'beside the telegram_id of a user, only that user can be an approver',
    },
  )

export function parseRegistration(body: unknown): Registration {
  const given = parse(registration, body)
  const { session_id, client_id, telegram_id, approvers = [], inline_answers } = given
  const isPrivate = telegram_id !== undefined && telegram_id > 0
  // In a private chat its user is the approver, named or not.
  const named = isPrivate ? [] : [...new Set(approvers)].map(String)
  const isAsked = telegram_id !== undefined || named.length > 0
  return {
    sessionId: session_id,
    clientId: client_id,
    reviewers: {
      ...(isAsked && {
        telegram: { address: telegram_id?.toString() ?? null, approvers: named },
      }),
      ...(inline_answers !== undefined && {
        [INLINE.channel]: { address: null, approvers: inline_answers ? [INLINE.approver] : [] },
      }),
    },
  }
}

const label = text(100)

const labelWithEffect = z.object({
  label,
  effect: z.enum(['approve', 'reject', 'other']).optional(),
})

/** A label alone, or with its effect. What is wrong is named by its own place in what was sent. */
const option = z.unknown().transform((value, context): PlainOption => {
  const isAlone = typeof value === 'string'
  const result = labelWithEffect.safeParse(isAlone ? { label: value } : value)
  if (result.success) return result.data
  for (const { path, message } of result.error.issues) {
    context.addIssue({ code: 'custom', path: isAlone ? [] : [...path], message })
  }
  return z.NEVER
})

const options = z
  .array(option)
  .max(20, { error: 'must be at most 20' })
  .nullish()
  .transform((value) => value ?? [])
  .superRefine((value, context) => {
    for (const [i, given] of value.entries()) {
      const { label: name, effect } = given
      const isRepeated = value.slice(0, i).some((before) => isAlike(before.label, name))
      const problem = isRepeated ? 'looks like an option before it' : pretense(given)
      if (problem !== undefined) context.addIssue({ code: 'custom', path: [i], message: problem })
      if (effect === 'approve' && readLabel(name) === 'refusal') {
        context.addIssue({
          code: 'custom',
          path: [i, 'effect'],
          message: 'must not be approve: the label reads as a refusal',
        })
      }
    }
  })
  .transform((value) =>
    value.map((given): PlainOption => {
      const isDeclared = given.effect !== undefined || !mayPassForDoubt(given.label)
      return isDeclared ? given : { ...given, effect: 'other' }
    }),
  )

const metadata = z
  .record(z.string(), z.json())
  .nullish()
  .transform((value) => (value ?? {}) as JsonObject)
  .refine((value) => Buffer.byteLength(JSON.stringify(value)) <= MAX_METADATA_BYTES, {
    error: 'must be at most 32 KiB of JSON',
  })

/** As a client is told what to send, where the check itself says too much or nothing. */
const optionsAsJson = options.meta({
  jsonSchema: {
    type: 'array',
    maxItems: 20,
    description:
      'The buttons, in order. Set the effect of each. Without effect, only a label that is a plain yes approves.',
    items: {
      anyOf: [
        { type: 'string', maxLength: 100 },
        {
          type: 'object',
          properties: {
            label: { type: 'string', maxLength: 100 },
            effect: { type: 'string', enum: ['approve', 'reject', 'other'] },
          },
          required: ['label'],
        },
      ],
    },
  },
})
const metadataAsJson = metadata.meta({
  jsonSchema: {
    type: 'object',
    description: 'Facts that the person needs to decide, shown as lines. At most 32 KiB of JSON.',
  },
})

/** What is asked, without the session it is asked in. The descriptions are for models. */
export const questionFields = {
  message: text(MAX_MESSAGE).describe(
    'The question, as the person will read it: what you are about to do, on what, and why.',
  ),
  request_type: z
    .enum(['confirmation', 'input', 'choice'])
    .optional()
    .describe('confirmation (yes or no), choice (one of options), or input (free text).'),
  options: optionsAsJson,
  timeout_seconds: z
    .int()
    .min(1)
    .max(MAX_TIMEOUT_SECONDS)
    .optional()
    .describe('Seconds that the question stays open. An expired question is not an approval.'),
  metadata: metadataAsJson,
  callback_url: z
    .string()
    .optional()
    .describe('An http or https address that gets the settled request, signed.'),
  approval_ttl_seconds: z
    .int()
    .min(1)
    .optional()
    .describe(
      `Seconds that an approval may be acted on, from when it is given: ${APPROVAL_TTL_SECONDS} unless said.`,
    ),
  idempotency_key: id
    .optional()
    .describe(
      'Give the same key and arguments again to find the same question, and not ask it twice.',
    ),
} as const

const submission = z
  .object({ session_id: id, client_id: id, ...questionFields })
  .refine(({ request_type, options: given }) => request_type !== 'choice' || given.length > 0, {
    path: ['options'],
    error: 'a choice needs options',
  })

export interface SubmissionDefaults {
  readonly timeoutSeconds: number
  /** What is wrong with a callback_url. Without it, none is accepted. */
  readonly callbackProblem?: (url: string) => string | undefined
}

/** `key` is the Idempotency-Key header; the body may carry the same one. */
export function parseSubmission(
  body: unknown,
  defaults: SubmissionDefaults,
  key?: string,
): Submission {
  const given = parse(submission, body)
  const { idempotency_key: inBody, ...asked } = given
  const inHeader =
    key === undefined
      ? undefined
      : parse(z.object({ 'idempotency-key': id }), {
          'idempotency-key': key,
        })['idempotency-key']
  if (inBody !== undefined && inHeader !== undefined && inBody !== inHeader) {
    throw invalid('/idempotency_key', 'is not the Idempotency-Key of the header')
  }
  const idempotencyKey = inHeader ?? inBody
  return {
    sessionId: given.session_id,
    clientId: given.client_id,
    message: given.message,
    type: given.request_type ?? (given.options.length > 0 ? 'choice' : 'confirmation'),
    options: settleEffects(given.options),
    metadata: given.metadata,
    timeoutSeconds: given.timeout_seconds ?? defaults.timeoutSeconds,
    approvalTtlSeconds: given.approval_ttl_seconds,
    callbackUrl:
      given.callback_url === undefined
        ? undefined
        : callbackUrl('/callback_url', given.callback_url, defaults),
    idempotency:
      idempotencyKey === undefined ? undefined : { key: idempotencyKey, bodyDigest: digest(asked) },
  }
}

const callbackRegistration = z.object({ url: z.string() })

/** The `url` of a callback for a whole session, by the rule for a callback_url. */
export function parseCallbackRegistration(
  body: unknown,
  defaults: Pick<SubmissionDefaults, 'callbackProblem'>,
): string {
  return callbackUrl('/url', parse(callbackRegistration, body).url, defaults)
}

/** In the normal form of the URL standard. */
function callbackUrl(
  path: string,
  text: string,
  { callbackProblem }: Pick<SubmissionDefaults, 'callbackProblem'>,
): string {
  const problem = callbackProblem ? callbackProblem(text) : 'callbacks are not available here'
  if (problem !== undefined) throw invalid(path, problem)
  return new URL(text).href
}

/** SHA-256 of the RFC 8785 form, which is the same for every way to write the same body. */
function digest(value: object): string {
  return createHash('sha256')
    .update(canonicalize(value) ?? '')
    .digest('hex')
}

/** Of a card's text, so that the body that carries it stays below MAX_BODY_BYTES. */
const MAX_SHOWN = 60_000

const decision = z
  .object({
    option: z.string().max(400).optional(),
    response: text(20_000).optional(),
    comment: z.union([z.literal('').transform(() => undefined), text(4_000)]).optional(),
    /** The text by which the person was asked, for the receipt. */
    shown: z.string().max(MAX_SHOWN).optional(),
  })
  .refine(({ option: chosen, response }) => (chosen === undefined) !== (response === undefined), {
    error: 'must have exactly one of option and response',
  })

export const parseDecision = (body: unknown): Answer => parse(decision, body)

export const sessionQuery = z.object({ session_id: id })
export const requestBody = z.object({ request_id: id })
export const pendingQuery = z.object({ session_id: id.optional() })
export const requestQuery = z.object({ wait: waitSeconds.optional() })

/** What a reader names: exactly one of a session and a request. */
export const targetFields = {
  session_id: id.optional(),
  request_id: id.optional(),
} as const

type TargetFields = { session_id?: string | undefined; request_id?: string | undefined }

/** @throws {LoopgateError} INVALID_INPUT for none, or both. */
export function toTarget({
  session_id,
  request_id,
}: TargetFields): { sessionId: string } | { requestId: string } {
  if (session_id !== undefined && request_id === undefined) return { sessionId: session_id }
  if (request_id !== undefined && session_id === undefined) return { requestId: request_id }
  throw invalid('', 'must have exactly one of session_id and request_id')
}

export const pollQuery = z.object({
  ...targetFields,
  since: since.optional(),
  wait: waitSeconds.optional(),
})

/** EventSource polyfills that can not set the header use various names for the cursor. */
export const streamQuery = z.object({
  ...targetFields,
  since: since.optional(),
  last_event_id: since.optional(),
  lastEventId: since.optional(),
})
