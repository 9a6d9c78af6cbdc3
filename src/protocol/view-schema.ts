import * as z from 'zod'
import type { RequestView } from './types.ts'

const time = z.string().describe('ISO 8601, UTC')

/** The view as a schema, for transports that publish one. */
export const viewFields = {
  request_id: z.string(),
  session_id: z.string(),
  client_id: z.string(),
  message: z.string(),
  request_type: z.enum(['confirmation', 'input', 'choice']),
  options: z.array(z.object({ label: z.string(), effect: z.enum(['approve', 'reject', 'other']) })),
  metadata: z.record(z.string(), z.unknown()),
  status: z.enum(['pending', 'completed', 'timeout', 'canceled']),
  outcome: z
    .enum(['approved', 'rejected', 'answered', 'expired', 'canceled'])
    .nullable()
    .describe('What it meant. Only approved is an approval.'),
  completed: z.boolean().describe('True for every status but pending.'),
  approved: z.boolean().describe('True exactly when a person approved.'),
  response: z.string().nullable().describe('What the person chose or wrote, verbatim.'),
  comment: z.string().nullable(),
  decided_by: z.object({ channel: z.string(), id: z.string(), name: z.string() }).nullable(),
  delivery: z
    .array(
      z.object({
        channel: z.string(),
        status: z.enum(['queued', 'delivered', 'failed']),
        error: z.string().optional(),
      }),
    )
    .describe('Whether somebody was asked. All failed, or none: nobody knows of the question.'),
  created_at: time,
  expires_at: time,
  responded_at: time.nullable(),
  timestamp: time,
  cursor: z.string(),
  receipt: z.string().nullable().describe('The signed proof of how it was settled.'),
} satisfies { readonly [Field in keyof Required<RequestView>]: z.ZodType }
