import * as fc from 'fast-check'
import { Wire } from '../../support/readers/wire.ts'
import { HANG_MS } from './answers.ts'
import { spliced } from './inputs.ts'
import type { Place } from './place.ts'

/** HTTP as it is written: whole requests with something else in one place. */
export function bytes(place: Place): fc.Arbitrary<string> {
  const { host } = new URL(place.url)
  const { session_id, client_id } = place.asking
  const body = JSON.stringify({ session_id, client_id, message: 'Ready?' })
  const post = (...lines: string[]) =>
    ['POST /hitl/request HTTP/1.1', `Host: ${host}`, `X-API-Key: ${place.key}`, ...lines].join(
      '\r\n',
    )
  const json = 'Content-Type: application/json'
  const requests = [
    post(json, `Content-Length: ${body.length}`, '', body),
    post(
      json,
      'Transfer-Encoding: chunked',
      '',
      `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ),
    `GET /hitl/pending HTTP/1.1\r\nHost: ${host}\r\nX-API-Key: ${place.key}\r\n\r\n`,
    `GET /hitl/poll?session_id=${session_id} HTTP/1.0\r\nX-API-Key: ${place.key}\r\n\r\n`,
    `OPTIONS * HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    `GET /ws HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
  ]
  return fc.oneof(...requests.map((request) => spliced(request)))
}

const STATUS_LINE = /HTTP\/1\.1 (\d{3}) /g

/** Writes it and says no more: whatever the server makes of it, it answers nothing above 499 and hangs up. */
export async function write(place: Place, text: string): Promise<void> {
  using wire = await Wire.open(place.url)
  const late = setTimeout(() => wire.socket.destroy(new Error('it hangs')), HANG_MS)
  let isLate = false
  wire.socket.once('error', ({ message }) => {
    isLate = message === 'it hangs'
  })
  wire.socket.end(Buffer.from(text, 'latin1'))
  const answer = await wire.closed()
  clearTimeout(late)
  if (isLate) throw new Error(`it was left hanging: ${JSON.stringify(answer.slice(0, 300))}`)
  for (const [line, status] of answer.matchAll(STATUS_LINE)) {
    if (Number(status) > 499) throw new Error(`it failed: ${line} in ${answer.slice(0, 500)}`)
  }
}
