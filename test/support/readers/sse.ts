import { createParser, type EventSourceMessage } from 'eventsource-parser'
import type { Envelope, Hello } from '../../../src/protocol/types.ts'
import { bearer, type Connect, Reader, refusedBy } from './reader.ts'

/** Server-sent events as EventSource reads them: a cursor goes back in Last-Event-ID. */
export const connectSse: Connect = async (url, { target, since, token }) => {
  const query = new URLSearchParams({ ...target, ...(since === 'earliest' && { since }) })
  const headers = {
    accept: 'text/event-stream',
    ...bearer(token),
    ...(since !== undefined && since !== 'earliest' && { 'last-event-id': since }),
  }
  const stop = new AbortController()
  const response = await fetch(`${url}/hitl/stream?${query}`, { headers, signal: stop.signal })
  const reader = new Reader(() => stop.abort())
  if (response.status === 204) reader.over()
  else if (response.status !== 200) throw await refusedBy(response)
  else void pump(response, reader, stop.signal)
  return reader.begun()
}

/** Never rejects: what goes wrong is the reader's to tell. */
async function pump(response: Response, reader: Reader, stopped: AbortSignal): Promise<void> {
  const parser = createParser({ onEvent: (message) => take(message, reader) })
  const decoder = new TextDecoder()
  try {
    for await (const chunk of response.body ?? []) {
      parser.feed(decoder.decode(chunk as Uint8Array, { stream: true }))
    }
    reader.over()
  } catch (error) {
    if (!stopped.aborted) reader.failed(error as Error)
  }
}

function take({ event, id, data }: EventSourceMessage, reader: Reader): void {
  const said: unknown = JSON.parse(data)
  if (event === 'hello') {
    const hello = said as Hello
    if (hello.cursor !== id) reader.failed(new Error(`hello ${data} has the id ${id}`))
    reader.started(hello)
    return
  }
  const envelope = said as Envelope
  if (envelope.id !== id || envelope.type !== event) {
    reader.failed(new Error(`${event} ${id} carries ${envelope.type} ${envelope.id}`))
  }
  reader.heard(envelope)
}
