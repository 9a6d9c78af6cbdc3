import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/free-port.ts'
import { FakeTelegram } from '../support/telegram/telegram.ts'
import type { History } from './history.ts'
import { PostgresServer } from './postgres-server.ts'
import { TcpProxy } from './proxy.ts'
import { ServerProcess } from './server-process.ts'

export type DatabaseName = 'postgres' | 'pglite'

export interface PlaceOptions {
  readonly database: DatabaseName
  readonly processes: number
  /** How Telegram's updates come; only one process may poll. */
  readonly telegram: 'polling' | 'webhook'
  /** Where the history and the logs are kept. */
  readonly directory: string
  /** What a process runs; the server unless said. */
  readonly script?: string
  /** Options of Node for it. */
  readonly nodeOptions?: readonly string[]
}

export const JWT_SECRET = 'Chaos-JWT-Secret_0123456789abcdefghij'
export const WEBHOOK_SECRET = 'Chaos-Webhook-Secret_0123456789abcdef'
const CALL_LOG_LIMIT = 2_000
const DISK_MB = { pglite: 320, postgres: 400 }

/** The servers of a run and everything around them that can fail. */
export class Place implements AsyncDisposable {
  readonly tg: FakeTelegram
  readonly postgres: PostgresServer | undefined
  /** Between the servers and PostgreSQL. */
  readonly network: TcpProxy | undefined
  readonly servers: readonly ServerProcess[]
  /** Between the agents and each server. */
  readonly lines: readonly TcpProxy[]
  /** Where the database is, when that is a small disk of its own. */
  readonly disk: string | undefined
  readonly #opened: AsyncDisposableStack

  private constructor(
    parts: Omit<Place, 'url' | typeof Symbol.asyncDispose>,
    opened: AsyncDisposableStack,
  ) {
    this.tg = parts.tg
    this.postgres = parts.postgres
    this.network = parts.network
    this.servers = parts.servers
    this.lines = parts.lines
    this.disk = parts.disk
    this.#opened = opened
  }

  static async open(options: PlaceOptions): Promise<Place> {
    await using opened = new AsyncDisposableStack()
    const { database, processes, directory } = options
    mkdirSync(directory, { recursive: true })
    const tg = opened.use(
      await FakeTelegram.start({ callLogLimit: CALL_LOG_LIMIT, timeScale: 0.2 }),
    )
    const data = openDisk(opened, DISK_MB[database])
    const home = data.isOwn ? join(data.path, 'data') : undefined
    const postgres =
      database === 'postgres' ? opened.use(await PostgresServer.start(home)) : undefined
    const network = postgres && opened.use(await TcpProxy.start(() => addressOf(postgres.url)))
    const servers: ServerProcess[] = []
    const door = opened.use(await TcpProxy.start(() => living(servers)))
    const env = {
      JWT_SECRET,
      LOG_LEVEL: 'info',
      CALLBACK_ALLOW_PRIVATE: 'true',
      TELEGRAM_BOT_TOKEN: tg.token,
      TELEGRAM_API_ROOT: tg.apiRoot,
      ...(options.telegram === 'webhook' && {
        TELEGRAM_MODE: 'webhook',
        TELEGRAM_WEBHOOK_SECRET: WEBHOOK_SECRET,
        PUBLIC_URL: `http://127.0.0.1:${door.port}`,
      }),
      ...(postgres && network && { DATABASE_URL: through(network, postgres.url) }),
      ...(!postgres && { LOOPGATE_DATA_DIR: data.path }),
    }
    const lines: TcpProxy[] = []
    for (let i = 0; i < processes; i++) {
      const port = await freePort()
      const logPath = join(directory, `server-${i}.log`)
      const { script, nodeOptions = [] } = options
      const launch = { port, env, logPath, script, nodeOptions }
      servers.push(opened.use(new ServerProcess(i, launch)))
      lines.push(opened.use(await TcpProxy.start(() => ({ host: '127.0.0.1', port }))))
    }
    await Promise.all(servers.map((server) => server.untilReady(60_000)))
    const disk = data.isOwn ? data.path : undefined
    return new Place({ tg, postgres, network, servers, lines, disk }, opened.move())
  }

  /** The way of an agent to a server, or past the bad network to it. */
  url(number: number): string {
    return `http://127.0.0.1:${this.lines[number]?.port}`
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#opened.disposeAsync()
  }
}

/** What a fault may touch. */
export interface Scene {
  readonly place: Place
  readonly history: History
  /** What a fault itself saw that must not be. */
  complain(what: string): void
}

/** A server that answers, as a load balancer knows it. */
export function living(servers: readonly ServerProcess[]) {
  const able = servers.filter(({ isReady, isStopped }) => isReady && !isStopped)
  const one = able[Math.floor(Math.random() * able.length)]
  return one && { host: '127.0.0.1', port: one.port }
}

const addressOf = ({ hostname, port }: URL) => ({ host: hostname, port: Number(port) })

function through(proxy: TcpProxy, url: URL): string {
  const changed = new URL(url)
  changed.port = String(proxy.port)
  return changed.href
}

/** A small disk of its own where this user may mount one; else a directory. */
function openDisk(
  opened: AsyncDisposableStack,
  megabytes: number,
): { path: string; isOwn: boolean } {
  const path = mkdtempSync(join(tmpdir(), 'loopgate-chaos-'))
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', path])
  opened.defer(() => {
    if (status === 0) spawnSync('umount', ['-l', path])
    rmSync(path, { recursive: true, force: true })
  })
  return { path, isOwn: status === 0 }
}
