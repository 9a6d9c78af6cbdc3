import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'

export interface Posted {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** How the receiver answers a post. The default is 200. */
export type Answering = (response: ServerResponse, posted: Posted) => void

/** Somebody's server for callbacks: keeps what was posted, and answers as a test says. */
export interface Receiver extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly posts: readonly Posted[]
  answer: Answering
  /** As soon as there are so many. */
  received(count: number): Promise<readonly Posted[]>
}

export async function startReceiver(answer: Answering = ok): Promise<Receiver> {
  const posts: Posted[] = []
  const server = createServer(async (request, response) => {
    const posted = await read(request)
    posts.push(posted)
    receiver.answer(response, posted)
  })
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await listening
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    port,
    posts,
    answer,
    async received(count) {
      const until = Date.now() + 10_000
      while (posts.length < count) {
        if (Date.now() > until) throw new Error(`${posts.length} of ${count} posts came`)
        await setTimeout(5)
      }
      return posts
    },
    async [Symbol.asyncDispose]() {
      const { promise: closed, resolve: done } = Promise.withResolvers<void>()
      server.close(() => done())
      server.closeAllConnections()
      await closed
    },
  }
  return receiver
}

export const ok: Answering = (response) => response.end('thank you')

/** Answers with a status and headers. */
export const says =
  (status: number, headers: Record<string, string> = {}): Answering =>
  (response) =>
    response.writeHead(status, headers).end()

/** Never answers. */
export const silent: Answering = () => undefined

async function read(request: IncomingMessage): Promise<Posted> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return {
    path: request.url ?? '',
    headers: request.headers as Record<string, string>,
    body: Buffer.concat(chunks).toString(),
  }
}
