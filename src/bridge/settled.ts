import { type Params, part, readJson } from './messages.ts'

/** Of a question that is open, and of its task. */
const OPEN: ReadonlySet<unknown> = new Set(['pending', 'working', undefined])
/** Of a question that nobody answered, in the words of request_human_input and of request_approval. */
const UNANSWERED: ReadonlySet<unknown> = new Set(['timeout', 'canceled', 'timed_out', 'expired'])

/** Whether a result of the server says that a question is not open any more, however it says it. */
export const showsSettled = (result: Params): boolean =>
  shownIn(result).some(({ status }) => !OPEN.has(status))

/** Whether a result of a tool that asks is of a question that will have no answer. */
export const showsUnanswered = (result: Params): boolean =>
  UNANSWERED.has(part(result, 'structuredContent')['status'])

/** A task, with the result of its tool in 2026-07-28; what a tool answers; what a resource holds. */
function shownIn(result: Params): readonly Params[] {
  const toolResult = 'result' in result ? part(result, 'result') : result
  const texts = [toolResult['content'], result['contents']].flatMap((blocks) =>
    Array.isArray(blocks) ? blocks.map(shownBy) : [],
  )
  return [result, part(toolResult, 'structuredContent'), ...texts]
}

const shownBy = (block: { readonly text?: unknown } | null): Params =>
  typeof block?.text === 'string' ? part({ shown: readJson(block.text) }, 'shown') : {}
