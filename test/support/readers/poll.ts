import type { Envelope } from '../../../src/protocol/types.ts'
import { bearer, type Connect, Reader, Refused, refusedBy } from './reader.ts'

interface Page {
  readonly events: readonly Envelope[]
  readonly cursor: string
  readonly recovered: boolean
}

/** Reads a session by asking again and again, each time from where the last answer ended. */
export const connectPoll: Connect = async (url, { target, since, token }) => {
  const stop = new AbortController()
  const poll = async (query: Record<string, string>): Promise<Page> => {
    const path = `/hitl/poll?${new URLSearchParams({ ...target, ...query })}`
    const response = await fetch(url + path, { headers: bearer(token), signal: stop.signal })
    if (!response.ok) throw await refusedBy(response)
    return (await response.json()) as Page
  }
  const reader = new Reader(() => stop.abort())
  const take = ({ events, cursor }: Page): string => {
    for (const event of events) reader.heard(event)
    return cursor
  }
  const run = async (from: string): Promise<void> => {
    let cursor = from
    for (;;) cursor = take(await poll({ since: cursor, wait: '50' }))
  }
  const failed = (error: unknown) => {
    if (!stop.signal.aborted) reader.failed(error as Error)
  }
  const first = await begin(poll, since)
  const { recovered } = first
  reader.started({ cursor: recovered ? (since ?? first.cursor) : 'earliest', recovered })
  // Without a cursor "now" is where the first answer ends; what it brought was before.
  void run(since === undefined ? first.cursor : take(first)).catch(failed)
  return reader
}

/** As contract.md says: a cursor that is gone is 410, and then everything is read that is kept. */
async function begin(
  poll: (query: Record<string, string>) => Promise<Page>,
  since: string | undefined,
): Promise<Page> {
  try {
    return await poll(since === undefined ? {} : { since })
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'CURSOR_GONE') throw error
    if (error.status !== 410) throw error
    return { ...(await poll({ since: 'earliest' })), recovered: false }
  }
}
