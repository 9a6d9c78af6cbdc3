import { connect, createServer, type Socket } from 'node:net'

/** NotificationResponse (PostgreSQL manual, "Message Formats"). */
const NOTIFICATION = 'A'.charCodeAt(0)

/** A way to PostgreSQL that treats LISTEN as poolers do. */
export interface Pooler extends AsyncDisposable {
  readonly url: string
  /** True: LISTEN is accepted, and what is notified goes nowhere, as in transaction mode. */
  isDeaf: boolean
  /** Takes connections and answers nothing. */
  hold(): void
  /** Answers who waits, and whoever comes. */
  release(): void
}

export async function openPooler(to: string): Promise<Pooler> {
  const upstreamUrl = new URL(to)
  const sockets = new Set<Socket>()
  let isHeld = false
  const server = createServer((client) => {
    const upstream = connect(Number(upstreamUrl.port), upstreamUrl.hostname)
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (chunk) => upstream.write(chunk))
    upstream.on(
      'data',
      filter(client, () => pooler.isDeaf),
    )
    if (isHeld) client.pause()
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  const address = server.address()
  const url = new URL(to)
  url.port = String(typeof address === 'object' && address ? address.port : 0)
  const pooler: Pooler = {
    url: url.href,
    isDeaf: false,
    hold() {
      isHeld = true
    },
    release() {
      isHeld = false
      for (const socket of sockets) socket.resume()
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      const { promise: closed, resolve: done } = Promise.withResolvers<void>()
      server.close(() => done())
      await closed
    },
  }
  return pooler
}

/** Passes on whole messages of the server: a type, a length that counts itself, a body. */
function filter(to: Socket, isDeaf: () => boolean): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0)
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 5) {
      const length = 1 + rest.readInt32BE(1)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      if (!(isDeaf() && message[0] === NOTIFICATION)) to.write(message)
    }
  }
}
