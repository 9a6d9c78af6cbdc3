import { afterAll, beforeAll } from 'vitest'
import type { Clock } from '../../../src/core/ports.ts'
import { PersonTokens } from '../../../src/http/tokens.ts'
import { startTestApp, type TestApp } from '../app.ts'
import { type DatabaseKind, openTestDatabase } from '../database.ts'
import { type Served, userOf } from '../users.ts'
import { openDataDirectory } from './data-directory.ts'

/** The signing secret of these servers, so that a test can be a person of any tenant. */
const JWT_SECRET = 'only-for-tests-and-long-enough-to-sign'

export interface OpenServer extends AsyncDisposable {
  readonly app: TestApp
  /** Where its data is, for a second one that is to take it over. */
  readonly place: Readonly<Record<string, string>>
}

/** A server on a database of its own. Disposing it takes the database along. */
export async function openServer(
  kind: DatabaseKind,
  env: Record<string, string> = {},
): Promise<OpenServer> {
  await using opened = new AsyncDisposableStack()
  const place = await openPlace(kind, opened)
  const app = opened.use(await startOn(place, env))
  const closing = opened.move()
  return { app, place, [Symbol.asyncDispose]: () => closing.disposeAsync() }
}

/** Another server where one was, or beside it. */
export const startOn = (
  place: Readonly<Record<string, string>>,
  env: Record<string, string> = {},
  clock?: Clock,
) =>
  startTestApp(
    { JWT_SECRET, SHUTDOWN_GRACE: '2', REGISTRATION: 'open', ...place, ...env },
    { clock },
  )

async function openPlace(
  kind: DatabaseKind,
  opened: AsyncDisposableStack,
): Promise<Record<string, string>> {
  if (kind === 'pglite') return { LOOPGATE_DATA_DIR: opened.use(await openDataDirectory()).path }
  const { url } = opened.use(await openTestDatabase(kind))
  return url === undefined ? {} : { DATABASE_URL: url }
}

/** A server for all the tests around the call. Each takes sessions of its own. */
export function serve(kind: DatabaseKind, env: Record<string, string> = {}): () => TestApp {
  let opened: OpenServer | undefined
  beforeAll(async () => {
    opened = await openServer(kind, env)
  }, 60_000)
  afterAll(() => opened?.[Symbol.asyncDispose](), 30_000)
  return () => {
    if (!opened) throw new Error('the server is not open')
    return opened.app
  }
}

/**
 * The token of a person of a tenant, who may do there what its agents may, and decide. The tenant is
 * that of the user of this name, or `local`.
 */
export async function personOf(server: Served, name: string, id = 'ann'): Promise<string> {
  const tenant = name === 'local' ? name : await userOf(server, name)
  return new PersonTokens(JWT_SECRET).issue({
    ...{ type: 'person', tenant, channel: 'console', id, name: 'Ann' },
  })
}
