import type { Effect } from './approval.ts'
import type { JsonObject, Question } from './request.ts'
import { visible, visibleLine } from './visible.ts'

/** What choosing an option does, as people are told it. */
const DOES: Readonly<Record<Effect, string>> = {
  approve: 'approves',
  reject: 'refuses',
  other: 'only answers',
}

/**
 * The whole of what a reviewer is shown of a question, as text: the file beside a card that is too
 * small for it, and what a proof of the decision stands for. It depends on the question alone.
 *
 * Everything but the message is on lines of ours, one each and counted, and the message comes last, so
 * that nothing in it can pass for anything else.
 */
export function shownText(question: Question): string {
  const { id, clientId, sessionId, type, createdAt, expiresAt, options } = question
  const facts = factLines(question.metadata)
  const message = visible(question.message)
  return [
    `Request ${id}`,
    `Client ${visibleLine(clientId)}`,
    `Session ${visibleLine(sessionId)}`,
    `Type ${type}, asked ${createdAt.toISOString()}, open until ${expiresAt.toISOString()}`,
    '',
    `--- options: ${options.length} ---`,
    ...options.map(({ label, effect }, i) => `${i + 1} ${DOES[effect]}: ${visibleLine(label)}`),
    '',
    `--- metadata: ${facts.length} ---`,
    ...facts,
    '',
    `--- message: ${[...message].length} characters, to the end ---`,
    message,
    '',
  ].join('\n')
}

/** A line for each entry of metadata. A value never makes a line of its own. */
export function factLines(metadata: JsonObject): string[] {
  return Object.entries(metadata).map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return `${visibleLine(key)}: ${visibleLine(text)}`
  })
}
