import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/storage/database.ts'
import { Command } from '../support/process.ts'
import { openDataDirectory } from '../support/readers/data-directory.ts'
import { Line } from '../support/readers/line.ts'
import { openServer, startOn } from '../support/readers/server.ts'

async function loopgate(args: readonly string[], env: Record<string, string> = {}, input = '') {
  await using command = new Command('node', ['src/cli.ts', ...args], env)
  command.write(input)
  const { code, stdout, stderr } = await command.exit()
  return { code, text: stdout + stderr }
}

describe('loopgate verify', () => {
  test('exits 0 only for what approves here and now, and says why not', async () => {
    await using opened = await openServer('pglite')
    await using dir = await openDataDirectory()
    const { app } = opened
    const line = await Line.open(app)
    const yes = (await line.settled()).receipt ?? ''
    const no = (await line.decide(await line.ask(), { option: 'No' })).receipt ?? ''
    const claims = JSON.parse(Buffer.from(yes.split('.')[1] ?? '', 'base64url').toString())
    const url = `${app.url}/.well-known/jwks.json`
    const file = join(dir.path, 'jwks.json')
    writeFileSync(file, JSON.stringify((await app.get(url.slice(app.url.length))).body))
    const receipt = join(dir.path, 'receipt.txt')
    writeFileSync(receipt, `${yes}\n`)
    const verify = (...args: string[]) => loopgate(['verify', ...args])
    const digest = claims.request.digest
    const flipped = `${yes.slice(0, -10)}${yes.at(-10) === 'A' ? 'B' : 'A'}${yes.slice(-9)}`
    const token = (await app.person())['authorization']?.replace('Bearer ', '') ?? ''
    const verdicts = await Promise.all([
      verify(yes, '--jwks', url, '--digest', digest),
      verify(receipt, '--jwks', file),
      loopgate(['verify', '-', '--jwks', file], {}, yes),
      verify(no, '--jwks', file, '--any'),
      verify(no, '--jwks', file),
      verify(yes, '--jwks', file, '--digest', digest.replace(/.$/, 'x')),
      verify(flipped, '--jwks', file),
      verify(flipped, '--jwks', file, '--any'),
      verify(token, '--jwks', file, '--any'),
      verify(yes, '--jwks', join(dir.path, 'nothing.json')),
    ])
    expect(verdicts.map(({ code }) => code)).toEqual([0, 0, 0, 0, 1, 1, 3, 3, 3, 2])
    const texts = verdicts.map(({ text }) => text)
    expect(texts[0]).toContain('authentic, approved and not expired')
    expect(texts[4]).toContain('authentic, but it does not approve: rejected')
    expect(texts[5]).toContain('it is about something else')
    expect(texts[6]).toContain('not authentic')
    expect(texts[9]).toContain('it can not be told')
  })
})

describe('loopgate audit verify', () => {
  test('reads the embedded database of a stopped server, and names the row that was changed', async () => {
    await using dir = await openDataDirectory()
    const place = { LOOPGATE_DATA_DIR: dir.path }
    const app = await startOn(place)
    const line = await Line.open(app)
    const receipts = [(await line.settled()).receipt, (await line.settled()).receipt]
    const busy = await loopgate(['audit', 'verify'], place)
    expect([busy.code, busy.text]).toEqual([2, expect.stringContaining('is in use')])
    await app[Symbol.asyncDispose]()
    const kept = join(dir.path, 'kept.txt')
    writeFileSync(kept, receipts.join('\n'))

    const well = await loopgate(['audit', 'verify', '--receipts', kept], place)
    expect(well.text).toContain('looked at 1 sessions, 4 events, 2 requests (2 with a receipt)')
    expect([well.code, well.text]).toEqual([0, expect.stringContaining('nothing was changed')])

    const database = await openDatabase({ type: 'embedded', dataDir: dir.path })
    await sql`UPDATE requests SET response = 'No', outcome = 'rejected' WHERE seq = 4`.execute(
      database.db,
    )
    await database.close()
    const ill = await loopgate(['audit', 'verify', '--receipts', kept], place)
    expect(ill.code).toBe(1)
    expect(ill.text).toContain(`session ${line.id}, event 4 of request`)
    expect(ill.text).toContain('its row does not say what its receipt says')
  })

  test('reads PostgreSQL beside a running server; keys are rotated beside it, too', async () => {
    await using opened = await openServer('postgres')
    const { app, place } = opened
    const line = await Line.open(app)
    await line.settled()
    const rotated = await loopgate(['keys', 'rotate'], place)
    expect(rotated.text).toMatch(/^retired .*\ncurrent .*\nnext /)
    const kidOf = ({ receipt }: { receipt: string | null }) =>
      JSON.parse(Buffer.from(receipt?.split('.')[0] ?? '', 'base64url').toString()).kid
    expect(rotated.text).toContain(`current  ${kidOf(await line.settled())}`)
    const { code, text } = await loopgate(['audit', 'verify'], place)
    expect([code, text]).toEqual([0, expect.stringContaining('looked at 1 sessions, 4 events')])
  })

  test('says that there is nothing, instead of making a database', async () => {
    const { code, text } = await loopgate(['audit', 'verify'], { LOOPGATE_DATA_DIR: '/nowhere' })
    expect([code, text]).toEqual([2, expect.stringContaining('there is no database in /nowhere')])
  })
})
