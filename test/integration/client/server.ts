import { startTestApp, type TestApp } from '../../support/app.ts'

/** A real server that does not wait long for what is cut off from it. */
export const startServer = (env: Record<string, string> = {}): Promise<TestApp> =>
  startTestApp({ SHUTDOWN_GRACE: '1', ...env })

let sessions = 0

/** Ids that no other test uses. */
export function newSession(): { readonly sessionId: string; readonly clientId: string } {
  sessions++
  return { sessionId: `session-${process.pid}-${sessions}`, clientId: 'agent' }
}

/** Times for a network that is as bad as the tests need it, and as fast as they can be. */
export const FAST = { connectMs: 150, minBackoffMs: 10, maxBackoffMs: 50 }
