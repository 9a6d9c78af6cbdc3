import { login } from './accounts.ts'
import type { Answer, TestApp } from './app.ts'

export interface Flood {
  readonly answers: readonly Answer<object>[]
  /** How long each approval took that was made meanwhile, in milliseconds. */
  readonly approvals: readonly number[]
}

/** So many logins at once, and one approval after the other until all are answered. */
export async function floodWithLogins(
  app: TestApp,
  username: string,
  count: number,
  approve: () => Promise<unknown>,
): Promise<Flood> {
  let isOver = false
  const logins = Promise.all(Array.from({ length: count }, () => login(app, username))).finally(
    () => {
      isOver = true
    },
  )
  const approvals: number[] = []
  while (!isOver) {
    const began = performance.now()
    await approve()
    approvals.push(performance.now() - began)
  }
  return { answers: await logins, approvals }
}
