import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import type { Clock } from '../core/ports.ts'
import { Rounds } from '../core/rounds.ts'

/** Where Linux lists its TCP connections (proc(5)). Elsewhere the kernel's own limit holds: 15 min. */
const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
const LOOK_MS = 5_000
/**
 * Sent again this often without an answer, the waits doubling from 0.2 s: more than six seconds.
 * A peer that is there acknowledges in its kernel, however slowly it reads.
 */
const MAX_RETRANSMITS = 5

export interface Watched {
  readonly socket: Socket | null | undefined
  /** The other side is gone. */
  lost(): void
}

/**
 * Finds the peers that vanished without a word. What never answers by itself, an SSE stream, shows
 * only in what its kernel does not acknowledge, and Node has no TCP_USER_TIMEOUT to act on it.
 */
export class DeadPeers {
  readonly #tables: () => Promise<readonly string[]>
  readonly #watched: Rounds<Watched>

  constructor(clock: Clock, tables: () => Promise<readonly string[]> = readTables) {
    this.#tables = tables
    this.#watched = new Rounds(clock, LOOK_MS, () => this.#look())
  }

  /** Returns what ends the watch. */
  add(watched: Watched): () => void {
    return this.#watched.add(watched)
  }

  stop(): void {
    this.#watched.stop()
  }

  /** Never rejects: where there are no tables, nobody is found. */
  async #look(): Promise<void> {
    const tables = await this.#tables().catch(() => [])
    const unanswered = new Set(tables.flatMap((table) => unansweredIn(table)))
    if (unanswered.size === 0) return
    for (const watched of [...this.#watched.members]) {
      const { socket } = watched
      if (socket && unanswered.has(placeOf(socket))) watched.lost()
    }
  }
}

async function readTables(): Promise<readonly string[]> {
  return Promise.all(TABLES.map((path) => readFile(path, 'utf8').catch(() => '')))
}

const ESTABLISHED = '01'

/** The connections of a table that were sent to again and again, as `local port, address, port`. */
function unansweredIn(table: string): string[] {
  const found: string[] = []
  for (const line of table.split('\n')) {
    const [, local = '', remote = '', state, , , retransmits = ''] = line.trim().split(/\s+/)
    if (state !== ESTABLISHED || Number.parseInt(retransmits, 16) < MAX_RETRANSMITS) continue
    const [address = '', port = ''] = remote.split(':')
    const localPort = local.split(':')[1] ?? ''
    found.push(
      `${Number.parseInt(localPort, 16)} ${toAddress(address)} ${Number.parseInt(port, 16)}`,
    )
  }
  return found
}

function placeOf({ localPort, remoteAddress = '', remotePort }: Socket): string {
  return `${localPort} ${normalize(remoteAddress)} ${remotePort}`
}

/** Addresses stand there in words of 32 bits, each in the machine's own order: little-endian here. */
function toAddress(hex: string): string {
  const words = Buffer.from(hex, 'hex')
  if (words.length % 4 !== 0) return ''
  const bytes = words.swap32()
  if (bytes.length === 4) return [...bytes].join('.')
  const groups = bytes.toString('hex').match(/.{4}/g) ?? []
  return normalize(groups.join(':'))
}

/** One text for each address, however it was written. */
function normalize(address: string): string {
  if (!address.includes(':')) return address
  return URL.parse(`http://[${address.split('%', 1)[0]}]`)?.hostname ?? address
}
