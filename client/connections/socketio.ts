import { io, type Socket } from 'socket.io-client'
import { Disconnected, LoopgateError, malformed, toSocketError, toWait } from '../errors.ts'
import { isRecord } from '../record.ts'
import { readHello } from '../wire.ts'
import type { Connection, ConnectionContext, ConnectionDefinition, Reading } from './connection.ts'

/** One Socket.IO connection, over WebSocket, that carries all sessions. */
export const socketio = {
  name: 'socketio',
  create: (context): Connection => new SocketIoConnection(context),
} as const satisfies ConnectionDefinition

class SocketIoConnection implements Connection {
  readonly name = 'socketio'
  readonly #context: ConnectionContext
  #line: Line | undefined

  constructor(context: ConnectionContext) {
    this.#context = context
  }

  read(reading: Reading): Promise<void> {
    this.#line ??= this.#open()
    return this.#line.read(reading)
  }

  #open(): Line {
    const line: Line = new Line(this.#context, () => {
      if (this.#line === line) this.#line = undefined
    })
    return line
  }
}

interface Seat {
  readonly reading: Reading
  /** Events before it are of an earlier subscription to the same session. */
  isStarted: boolean
  /** Ends the reading: well, or with the reason. */
  end(error?: Error): void
}

/**
 * One socket, from opening to its end. It is not reopened: the feeds come back by themselves, with
 * their cursors. It ends when its last reading has left.
 */
class Line {
  readonly #socket: Socket
  readonly #connectMs: number
  readonly #ended: () => void
  readonly #seats = new Map<string, Seat>()
  readonly #timer: ReturnType<typeof setTimeout>
  /** What the server said before it closed. */
  #farewell: Error | undefined
  #isOver = false

  constructor({ http, timing }: ConnectionContext, ended: () => void) {
    const { connectMs } = timing
    this.#connectMs = connectMs
    this.#ended = ended
    // The path is part of the options: in the URL it would name a namespace.
    this.#socket = io(http.base.origin, {
      path: `${http.base.pathname.replace(/\/$/, '')}/socket.io/`,
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
      auth: http.apiKey === undefined ? {} : { token: http.apiKey },
    })
    const late = () => this.#end(new Disconnected('no connection in time', { isSilence: true }))
    this.#timer = setTimeout(late, connectMs)
    this.#socket.on('connect', () => this.#connected())
    this.#socket.on('connect_error', (error) => this.#end(toRefusal(error)))
    this.#socket.on('disconnect', (reason, details) => {
      this.#end(this.#farewell ?? toFarewell(closeCodeOf(details), reason))
    })
    this.#socket.onAny((name: string, value: unknown) => this.#received(name, value))
  }

  read(reading: Reading): Promise<void> {
    const { sessionId, signal } = reading
    return new Promise((resolve, reject) => {
      const left = () => {
        if (this.#socket.connected) this.#socket.emit('unsubscribe', { session_id: sessionId })
        seat.end()
      }
      const seat: Seat = {
        reading,
        isStarted: false,
        end: (error) => {
          signal.removeEventListener('abort', left)
          if (this.#seats.get(sessionId) === seat) this.#seats.delete(sessionId)
          if (error) reject(error)
          else resolve()
          if (this.#seats.size === 0) this.#end(new Disconnected('nobody reads'))
        },
      }
      this.#seats.set(sessionId, seat)
      signal.addEventListener('abort', left)
      if (signal.aborted) seat.end()
      else if (this.#socket.connected) this.#subscribe(seat)
    })
  }

  #connected(): void {
    clearTimeout(this.#timer)
    for (const seat of this.#seats.values()) this.#subscribe(seat)
  }

  #subscribe(seat: Seat): void {
    const { sessionId: session_id, since } = seat.reading
    const body = since === undefined ? { session_id } : { session_id, since }
    // A callback, because events may follow the answer before a promise would be looked at.
    this.#socket
      .timeout(this.#connectMs)
      .emit('subscribe', body, (lost: Error | null, answer: unknown) => {
        if (this.#seats.get(session_id) !== seat) return
        if (lost) this.#end(new Disconnected('no answer in time', { isSilence: true }))
        else this.#answered(seat, answer)
      })
  }

  #answered(seat: Seat, answer: unknown): void {
    if (!isRecord(answer) || answer['ok'] !== true) {
      seat.end(toSocketError(answer))
      return
    }
    try {
      const hello = readHello(answer)
      seat.isStarted = true
      seat.reading.started(hello)
    } catch (error) {
      seat.end(error instanceof Error ? error : malformed('an acknowledgement', error))
    }
  }

  #received(name: string, value: unknown): void {
    const { session_id, reason } = isRecord(value) ? value : {}
    const seat = typeof session_id === 'string' ? this.#seats.get(session_id) : undefined
    if (name === 'closing') this.#farewell = readFarewell(value)
    // What was left here may have been taken up again meanwhile.
    else if (name === 'unsubscribed' && reason !== 'left') seat?.end(new Disconnected(`${reason}`))
    else if (!name.startsWith('request.')) return
    else if (typeof session_id !== 'string') this.#end(malformed('an event'))
    else if (seat?.isStarted) seat.reading.event(value)
  }

  #end(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#ended()
    this.#socket.off().offAny()
    drop(this.#socket)
    for (const seat of [...this.#seats.values()]) seat.end(error)
  }
}

/** What a WebSocket of Node can do beside the standard, below what Socket.IO shows. */
interface Below {
  readonly transport?: { readonly ws?: { terminate?(): void } | null }
}

/** Says goodbye, and does not wait 30 s for the other side's: that would hold the process. */
function drop(socket: Socket): void {
  const { engine } = socket.io
  const { ws } = (engine as Below | undefined)?.transport ?? {}
  engine?.once('close', () => ws?.terminate?.())
  socket.disconnect()
}

/** 3500–3999 and 4500–4999 mean: do not come back. */
const isTerminal = (code: number): boolean =>
  (code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999)

function toFarewell(code: number, reason: string, retryAfterMs?: number): Error {
  if (!isTerminal(code)) return new Disconnected(reason, { retryAfterMs })
  return new LoopgateError(
    'DISCONNECTED',
    `the server closed the connection: ${reason} (${code})`,
    {
      status: code,
    },
  )
}

/** `{code, reason, reconnect, retry_after_ms}`; what can not be read says nothing. */
function readFarewell(value: unknown): Error {
  const { code, reason, reconnect, retry_after_ms } = isRecord(value) ? value : {}
  const closeCode = typeof code === 'number' ? code : 0
  const text = typeof reason === 'string' ? reason : 'closing'
  const wait = toWait(retry_after_ms)
  return reconnect === false && !isTerminal(closeCode)
    ? new LoopgateError('DISCONNECTED', `the server closed the connection: ${text}`)
    : toFarewell(closeCode, text, wait)
}

/** The close code that Socket.IO passes along, 0 when there is none. */
function closeCodeOf(details: unknown): number {
  const context = isRecord(details) ? details['context'] : undefined
  const code: unknown =
    typeof context === 'object' && context !== null && 'code' in context ? context.code : undefined
  return typeof code === 'number' ? code : 0
}

/** `connect_error`: the server's refusal carries `data`, all else is a connection that did not come. */
function toRefusal(error: Error & { readonly data?: unknown }): Error {
  return error.data === undefined
    ? new Disconnected(`no connection: ${error.message}`, { cause: error })
    : toSocketError(error.data)
}
