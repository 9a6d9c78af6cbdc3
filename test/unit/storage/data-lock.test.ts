import { type ChildProcess, fork, spawnSync } from 'node:child_process'
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

const holderOf = (lock: string): Holder => JSON.parse(readFileSync(lock, 'utf8'))

/** What this process would write as holder. */
function ourselves(dir: string): Holder {
  const unlock = lockDataDirectory(dir)
  const holder = holderOf(join(dir, 'loopgate.lock'))
  unlock()
  return holder
}

/** A pid that nobody has, since its process has ended. */
const pidOfTheDead = () => spawnSync(process.execPath, ['-e', '']).pid

describe('the lock of a data directory', () => {
  test('is a file that says who has it, and is gone when it is given back', () => {
    using dir = temporary()
    const unlock = lockDataDirectory(dir.path)
    expect(holderOf(dir.lock)).toMatchObject({
      pid: process.pid,
      since: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    })
    expect(readdirSync(dir.path)).toEqual(['loopgate.lock'])
    unlock()
    expect(readdirSync(dir.path)).toEqual([])
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
    expect(readdirSync(dir.path)).toEqual(['loopgate.lock'])
    unlock()
  })

  test('keeps out another process, which is told who has it and since when', async () => {
    using dir = temporary()
    await using holder = await startHolder()
    expect(await holder.take(dir.path)).toBe('taken')
    const { pid, since } = holderOf(dir.lock)
    expect(pid).toBe(holder.child.pid)
    const { message } = refusal(dir.path)
    for (const part of [dir.path, String(pid), since, 'LOOPGATE_DATA_DIR']) {
      expect(message).toContain(part)
    }
  })

  test('is taken over from a process that was killed', async () => {
    using dir = temporary()
    await using holder = await startHolder()
    await holder.take(dir.path)
    await end(holder.child)
    const unlock = lockDataDirectory(dir.path)
    expect(holderOf(dir.lock).pid).toBe(process.pid)
    unlock()
  })

  test('that somebody else has taken since is not given back for him', () => {
    using dir = temporary()
    const unlock = lockDataDirectory(dir.path)
    writeFileSync(dir.lock, '{"pid":1}')
    unlock()
    expect(readFileSync(dir.lock, 'utf8')).toBe('{"pid":1}')
  })
})

describe('a lock that is stale', () => {
  const takes = (dir: ReturnType<typeof temporary>, text: string) => {
    writeFileSync(dir.lock, text)
    const unlock = lockDataDirectory(dir.path)
    expect(holderOf(dir.lock).pid).toBe(process.pid)
    expect(readdirSync(dir.path)).toEqual(['loopgate.lock'])
    unlock()
  }

  test('since its process is dead is taken over', () => {
    using dir = temporary()
    takes(dir, JSON.stringify({ ...ourselves(dir.path), pid: pidOfTheDead() }))
  })

  test('since its process is dead is taken over where there is no start time to compare', () => {
    using dir = temporary()
    takes(dir, JSON.stringify({ ...ourselves(dir.path), pid: pidOfTheDead(), startTicks: null }))
  })

  test('since another process has the pid now is taken over, as in a container where every pid is 1', () => {
    using dir = temporary()
    takes(dir, JSON.stringify({ ...ourselves(dir.path), startTicks: '1' }))
  })

  test('since the machine was started again is taken over', () => {
    using dir = temporary()
    takes(dir, JSON.stringify({ ...ourselves(dir.path), boot: 'another boot' }))
  })

  test.each(['', '{', 'nonsense', 'null', '7', '"x"', '[]', '{}', '{"pid":"1"}', '\0\0\0'])(
    'since it is no lock of ours is taken over: %j',
    (text) => {
      using dir = temporary()
      takes(dir, text)
    },
  )

  test('whose holder lives is not, also when only its pid can be compared', () => {
    using dir = temporary()
    const self = ourselves(dir.path)
    for (const holder of [self, { ...self, startTicks: null }]) {
      writeFileSync(dir.lock, JSON.stringify(holder))
      expect(refusal(dir.path)).toBeInstanceOf(DataInUseError)
    }
  })
})

describe('of processes that start at the same time', () => {
  test.each([2, 6])(
    'exactly one gets a stale lock, and exactly one a free one: %d of them',
    { timeout: 20_000 },
    async (count) => {
      await using stack = new AsyncDisposableStack()
      const starting = Array.from({ length: count }, startHolder)
      const holders = (await Promise.all(starting)).map((holder) => stack.use(holder))
      for (let round = 0; round < 60; round++) {
        using dir = temporary()
        if (round % 3 > 0)
          writeFileSync(dir.lock, round % 3 === 1 ? 'nonsense' : '{"pid":1,"boot":"x"}')
        const answers = await Promise.all(holders.map((holder) => holder.take(dir.path)))
        expect(answers.filter((answer) => answer === 'taken')).toHaveLength(1)
        expect(answers.filter((answer) => answer === 'DataInUseError')).toHaveLength(count - 1)
        expect(readdirSync(dir.path)).toEqual(['loopgate.lock'])
      }
    },
  )
})
