import { type IncomingHttpHeaders, request } from 'node:http'
import type { Problem } from '../../../src/protocol/types.ts'

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

export interface HttpAsked {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string | Uint8Array
}

/** An HTTP request with exactly these headers, also those that fetch would not send. */
export async function ask(url: string, asked: HttpAsked = {}): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
  const { method = 'GET', headers = {}, body } = asked
  const sent = request(url, { method, headers, agent: false }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
    })
  })
  sent.on('error', reject)
  sent.end(body)
  return promise
}

export const problemOf = ({ text }: HttpAnswer): Problem => JSON.parse(text) as Problem
