import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client'
import type { Envelope } from '../../../src/protocol/types.ts'
import { type Connect, Reader, Refused } from './reader.ts'
import { DEADLINE_MS } from './watch.ts'

export interface Acknowledged {
  readonly ok: boolean
  readonly code?: string
  readonly message?: string
  readonly cursor?: string
  readonly recovered?: boolean
  readonly [field: string]: unknown
}

export type Options = Partial<ManagerOptions & SocketOptions>

/** A connected client. @throws the `connect_error`. */
export async function openSocketIo(url: string, options: Options = {}): Promise<Socket> {
  const socket = io(url, { forceNew: true, reconnection: false, ...options })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('connect', resolve)
  socket.once('connect_error', reject)
  // Lost between the transport and the namespace, the socket says nothing.
  const late = setTimeout(() => reject(new Error('no connect in time')), DEADLINE_MS)
  try {
    await promise
    return socket
  } catch (error) {
    socket.disconnect()
    throw error
  } finally {
    clearTimeout(late)
  }
}

/** Emits, and resolves with the acknowledgement. */
export function emit(socket: Socket, event: string, ...args: unknown[]): Promise<Acknowledged> {
  return socket.timeout(DEADLINE_MS).emitWithAck(event, ...args) as Promise<Acknowledged>
}

/** Socket.IO that stays on one of its own transports. */
export const connectSocketIo =
  (transport: 'websocket' | 'polling'): Connect =>
  async (url, { target, since, token }) => {
    const socket = await openSocketIo(url, {
      transports: [transport],
      ...(token !== undefined && { auth: { token } }),
    })
    const reader = new Reader(() => {
      socket.disconnect()
    })
    socket.onAny((type: string, envelope: Envelope) => {
      if (type === 'unsubscribed') reader.over()
      else if (type.startsWith('request.')) reader.heard(envelope)
    })
    socket.on('disconnect', (reason) => reader.failed(new Error(`disconnected: ${reason}`)))
    const acknowledged = (answer: Acknowledged) => {
      if (answer.ok) {
        reader.started({ cursor: answer.cursor ?? '', recovered: answer.recovered === true })
      } else reader.failed(new Refused(String(answer.code)))
    }
    // With a callback, not a promise: events may be in the same chunk, right behind the answer.
    socket.emit('subscribe', { ...target, since }, acknowledged)
    try {
      return await reader.begun()
    } catch (error) {
      socket.disconnect()
      throw error
    }
  }
