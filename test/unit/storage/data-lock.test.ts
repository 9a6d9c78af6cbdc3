import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DataInUseError, type Holder, lockDataDirectory } from '../../../src/storage/data-lock.ts'

/** An empty directory for one test. */
function temporary(): Disposable & { path: string; lock: string } {
  const path = mkdtempSync(join(tmpdir(), 'loopgate-lock-'))
  return {
    path,
    lock: join(path, 'loopgate.lock'),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

/** Another process, which takes what it is told to. */
async function startHolder() {
  const child = fork(join(import.meta.dirname, 'lock-holder.ts'), { stdio: 'inherit' })
  await once(child, 'message')
  return {
    child,
    async take(dir: string): Promise<string> {
      const answer = once(child, 'message')
      child.send(dir)
      return String((await answer)[0])
    },
    [Symbol.asyncDispose]: () => end(child),
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

function refusal(dir: string): DataInUseError {
  try {
    lockDataDirectory(dir)
  } catch (error) {
    if (error instanceof DataInUseError) return error
    throw error
  }
  return expect.fail('the lock was taken')
}

const holderOf = (dir: string): Holder =>
  JSON.parse(readFileSync(join(dir, 'loopgate.holder'), 'utf8'))

describe('the lock of a data directory', () => {
  test('has a file beside it that says who has it, and is gone when it is given back', () => {
    using dir = temporary()
    const unlock = lockDataDirectory(dir.path)
    expect(holderOf(dir.path)).toEqual({
      pid: process.pid,
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    })
    expect(readdirSync(dir.path)).toEqual(['loopgate.holder', 'loopgate.lock'])
    unlock()
    expect(readdirSync(dir.path)).toEqual(['loopgate.lock'])
    lockDataDirectory(dir.path)()
  })

  test('makes the directory where there is none', () => {
    using dir = temporary()
    const inside = join(dir.path, 'a', 'b')
    const unlock = lockDataDirectory(inside)
    expect(existsSync(join(inside, 'loopgate.lock'))).toBe(true)
    unlock()
  })

  test('keeps out a second holder of the same process', () => {
    using dir = temporary()
    const unlock = lockDataDirectory(dir.path)
    expect(refusal(dir.path).message).toContain(`process ${process.pid}`)
    expect(refusal(dir.path)).toBeInstanceOf(DataInUseError)
    unlock()
  })

  test('keeps out another process, which is told who has it and since when', async () => {
    using dir = temporary()
    await using holder = await startHolder()
    expect(await holder.take(dir.path)).toBe('taken')
    const { pid, since } = holderOf(dir.path)
    expect(pid).toBe(holder.child.pid)
    const { message } = refusal(dir.path)
    for (const part of [dir.path, String(pid), since, 'LOOPGATE_DATA_DIR']) {
      expect(message).toContain(part)
    }
  })

  test('keeps out another process that does not know who has it', async () => {
    using dir = temporary()
    await using holder = await startHolder()
    await holder.take(dir.path)
    rmSync(join(dir.path, 'loopgate.holder'))
    expect(refusal(dir.path).message).toMatch(/in use by another Loopgate\. Stop it/)
  })

  test('is free as soon as its process was killed, whatever it left behind', async () => {
    using dir = temporary()
    await using holder = await startHolder()
    await holder.take(dir.path)
    await end(holder.child)
    expect(holderOf(dir.path).pid).toBe(holder.child.pid)
    const unlock = lockDataDirectory(dir.path)
    expect(holderOf(dir.path).pid).toBe(process.pid)
    unlock()
  })

  test('that was given back is not given back again for whoever has it since', () => {
    using dir = temporary()
    const unlock = lockDataDirectory(dir.path)
    unlock()
    const unlockAgain = lockDataDirectory(dir.path)
    unlock()
    expect(refusal(dir.path).message).toContain(`process ${process.pid}`)
    unlockAgain()
  })

  test.each(['', '{', 'nonsense', '{"pid":1}', '\0\0\0', 'x'.repeat(5_000)])(
    'is taken whatever somebody wrote into its file: %j',
    (text) => {
      using dir = temporary()
      writeFileSync(dir.lock, text)
      const unlock = lockDataDirectory(dir.path)
      expect(refusal(dir.path)).toBeInstanceOf(DataInUseError)
      unlock()
    },
  )
})

describe('of processes that start at the same time', () => {
  test.each([2, 6])('exactly one gets the lock: %d of them', { timeout: 20_000 }, async (count) => {
    await using stack = new AsyncDisposableStack()
    const starting = Array.from({ length: count }, startHolder)
    const holders = (await Promise.all(starting)).map((holder) => stack.use(holder))
    for (let round = 0; round < 24; round++) {
      using dir = temporary()
      if (round % 3 > 0) writeFileSync(dir.lock, round % 3 === 1 ? 'nonsense' : '')
      const answers = await Promise.all(holders.map((holder) => holder.take(dir.path)))
      expect(answers.filter((answer) => answer === 'taken')).toHaveLength(1)
      expect(answers.filter((answer) => answer === 'DataInUseError')).toHaveLength(count - 1)
    }
  })
})
