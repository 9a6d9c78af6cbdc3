import { afterAll, beforeAll } from 'vitest'
import type { TestApp } from '../support/app.ts'
import type { DatabaseKind } from '../support/database.ts'
import { Line } from '../support/readers/line.ts'
import { openServer } from '../support/readers/server.ts'
import { FakeTelegram } from '../support/telegram/telegram.ts'

export const DATABASES: readonly DatabaseKind[] = ['pglite', 'postgres']

/** The reviewer in Telegram. */
export const ANN = { id: 501, first_name: 'Ann', username: 'ann' }

/** A server whose reviewer is in Telegram, and sessions in it. */
export interface Scene {
  readonly app: TestApp
  readonly telegram: FakeTelegram
  /** A session whose cards are delivered. */
  lineToAnn(): Promise<Line>
  /** A session that nobody is asked in, so that its events depend on nothing else. */
  line(): Promise<Line>
}

/** One scene for all the tests around the call. */
export function stage(kind: DatabaseKind): () => Scene {
  let scene: Scene | undefined
  const opened = new AsyncDisposableStack()
  beforeAll(async () => {
    const telegram = opened.use(await FakeTelegram.start())
    telegram.privateChat(ANN)
    const { app } = opened.use(
      await openServer(kind, {
        TELEGRAM_BOT_TOKEN: telegram.token,
        TELEGRAM_API_ROOT: telegram.apiRoot,
        MAX_CONCURRENT_REQUESTS: '10000',
      }),
    )
    scene = {
      app,
      telegram,
      line: () => Line.open(app),
      lineToAnn: () => Line.open(app, { telegram_id: ANN.id }),
    }
  }, 60_000)
  afterAll(() => opened.disposeAsync(), 30_000)
  return () => {
    if (!scene) throw new Error('the curtain is down')
    return scene
  }
}
