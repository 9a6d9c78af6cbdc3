import type { Answer, HitlRequest } from '../../core/request.ts'
import { factLines } from '../../core/shown.ts'
import { visible } from '../../core/visible.ts'

/** The name of the one field. */
export const ANSWER = 'answer'

/** A question as a form (elicitation, form mode): one field, `answer`. */
export function toForm({ question }: HitlRequest) {
  const labels = question.options.map(({ label }) => label)
  const answer =
    labels.length > 0
      ? { type: 'string' as const, title: 'Answer', enum: labels }
      : { type: 'string' as const, title: 'Answer', maxLength: 20_000 }
  return {
    message: formText(question),
    requestedSchema: { type: 'object' as const, properties: { answer }, required: ['answer'] },
  }
}

/** By which the person at the client is asked: the message, and what goes with it on a line each. */
export function formText({ message, metadata }: HitlRequest['question']): string {
  const facts = factLines(metadata)
  if (facts.length === 0) return visible(message)
  return [visible(message), '', `--- metadata: ${facts.length}, to the end ---`, ...facts].join(
    '\n',
  )
}

/** What came back with `accept`. Whoever declines or closes the form has not answered. */
export function toAnswer(
  { question }: HitlRequest,
  result: { readonly action?: unknown; readonly content?: unknown },
): Answer | undefined {
  const { answer } = (result.content ?? {}) as { readonly answer?: unknown }
  if (result.action !== 'accept' || typeof answer !== 'string') return undefined
  return question.options.length > 0 ? { option: answer } : { response: answer }
}
