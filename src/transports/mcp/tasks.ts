import type { HitlRequest } from '../../core/request.ts'

/** How often a client may look for the answer of a task: the clients that there are do just that. */
export const POLL_MS = 1_000

/** A task is a view of a request, under the request's id: nothing is stored for it. */
interface TaskView {
  readonly taskId: string
  readonly status: 'working' | 'completed' | 'cancelled'
  readonly statusMessage: string
  readonly createdAt: string
  readonly lastUpdatedAt: string
}

/**
 * `working` while a person is asked: `input_required` would say that the client itself is. What
 * expired is completed, too: its result says that nobody answered.
 */
export function toTask({ question, state }: HitlRequest): TaskView {
  const createdAt = question.createdAt.toISOString()
  return {
    taskId: question.id,
    createdAt,
    lastUpdatedAt: state.settledAt?.toISOString() ?? createdAt,
    ...stand(state.status),
  }
}

function stand(status: HitlRequest['state']['status']): Pick<TaskView, 'status' | 'statusMessage'> {
  switch (status) {
    case 'pending':
      return { status: 'working', statusMessage: 'Waiting for a person to answer.' }
    case 'decided':
      return { status: 'completed', statusMessage: 'A person answered.' }
    case 'expired':
      return { status: 'completed', statusMessage: 'Nobody answered in time.' }
    case 'canceled':
      return {
        status: 'cancelled',
        statusMessage: 'The question was withdrawn before anybody answered. No person said no.',
      }
    default:
      return status satisfies never
  }
}
