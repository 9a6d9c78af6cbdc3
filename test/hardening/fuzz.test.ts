import { randomInt } from 'node:crypto'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { requireDocumented, send } from './fuzz/answers.ts'
import * as http from './fuzz/http-doors.ts'
import { Place } from './fuzz/place.ts'
import * as sockets from './fuzz/sockets.ts'
import { bytes, write } from './fuzz/wire.ts'

/**
 * Anything at all comes in at every door: what a client may send with one thing wrong, and what
 * nobody would think of. Whatever it is, it is answered as documented, in time, and changes nothing
 * that it may not.
 *
 * FUZZ_SECONDS is how long all doors take together, FUZZ_SEED the seed of a run that failed, and
 * FUZZ_PATH what fast-check printed with it: `FUZZ_SEED=1 FUZZ_PATH=2:3 npx vitest run
 * test/hardening/fuzz.test.ts -t 'bodies'`.
 */
const { FUZZ_SECONDS = '30', FUZZ_SEED, FUZZ_PATH } = process.env

const seed = FUZZ_SEED === undefined ? randomInt(2 ** 31) : Number(FUZZ_SEED)

/** What may be written in the log above `warn`: an update that only Telegram can have sent. */
const KNOWN_COMPLAINT = /"an update (could not be handled; trying again|was set aside)"/

/** Somebody whose inputs are tried. */
interface Door {
  readonly name: string
  readonly input: (place: Place) => fc.Arbitrary<unknown>
  /** Rejects when the server did what it may not. Resolves with how many inputs it were. */
  readonly enter: (place: Place, input: never) => Promise<number>
}

/** Calls that are under way at the same time. */
const TOGETHER = 8

const calls = (name: string, call: (place: Place) => fc.Arbitrary<http.Call>): Door => ({
  name,
  input: (place) => fc.array(call(place), { minLength: 1, maxLength: TOGETHER }),
  enter: async (place, input: readonly http.Call[]) => {
    await Promise.all(
      input.map(async (one) => {
        const answer = await send(place.url, one)
        if (answer) requireDocumented(answer)
      }),
    )
    return input.length
  },
})

const said = (
  name: string,
  input: Door['input'],
  say: (place: Place, sayings: sockets.Sayings) => Promise<void>,
): Door => ({
  name,
  input,
  enter: async (place, sayings: sockets.Sayings) => {
    await say(place, sayings)
    return sayings.length
  },
})

const DOORS: readonly Door[] = [
  calls('bodies', http.bodies),
  calls('queries', http.queries),
  calls('headers', http.headers),
  calls('paths', http.paths),
  calls('cursors of SSE', http.cursors),
  said('frames of a WebSocket', sockets.frames, sockets.sayFrames),
  said('bytes of a WebSocket', () => sockets.frameBytes, sockets.writeBelow),
  said('packets of Socket.IO', sockets.packets, sockets.sayPackets),
  said('noise on Socket.IO', () => sockets.noise, sockets.makeNoise),
  said('handshakes of Socket.IO', sockets.handshakes, sockets.joinWith),
  {
    name: 'updates of Telegram',
    input: (place) => fc.array(http.updates(place), { minLength: 1, maxLength: TOGETHER }),
    enter: async (place, input: readonly http.Call[]) => {
      // One after the other: what is tried again is known by its id, which some have in common.
      for (const call of input) await postUpdate(place, call)
      return input.length
    },
  },
  {
    name: 'bytes of HTTP',
    input: (place) => fc.array(bytes(place), { minLength: 1, maxLength: TOGETHER }),
    enter: async (place, input: readonly string[]) => {
      await Promise.all(input.map((text) => write(place, text)))
      return input.length
    },
  },
]

/** An update that cannot be handled may be refused twice, and is then set aside: Telegram goes on. */
async function postUpdate(place: Place, call: http.Call): Promise<void> {
  for (let tries = 1; tries <= 3; tries++) {
    const answer = await send(place.url, call)
    if (answer?.status === 503 && tries < 3) continue
    if (answer) requireDocumented(answer)
    return
  }
}

let place: Place
const counts = new Map<string, number>()
const memory: number[] = []

beforeAll(async () => {
  place = await Place.open()
})
afterAll(() => place[Symbol.asyncDispose]())

const share = (Number(FUZZ_SECONDS) * 1_000) / DOORS.length

test.for(DOORS)('$name', { timeout: share + 60_000 }, async ({ name, input, enter }) => {
  let count = 0
  let last: Promise<number> | undefined
  const property = fc.asyncProperty(input(place), async (one) => {
    last = enter(place, one as never)
    count += await last
  })
  await fc.assert(property, {
    seed,
    ...(FUZZ_PATH !== undefined && { path: FUZZ_PATH }),
    numRuns: 1_000_000_000,
    interruptAfterTimeLimit: share,
  })
  // The time may be over while one waits, for an answer that may never come.
  await last
  counts.set(name, count)
  memory.push(await place.memory())
  expect(count, 'inputs tried').toBeGreaterThan(0)
})

test('after all that nothing is approved, an approval still works, and nothing secret is in the log', async () => {
  const tried = [...counts].map(([name, count]) => `${name} ${count}`).join(', ')
  const megabytes = memory.map((bytesOf) => Math.round(bytesOf / 2 ** 20)).join(', ')
  console.log(`fuzz: seed ${seed}; inputs: ${tried}; MiB after each: ${megabytes}`)
  expect(await place.approvals()).toBe(0)
  expect(await place.approve()).toMatchObject({ outcome: 'approved', approved: true })
  const { code, stderr, stdout } = await place.stop()
  expect(code).toBe(0)
  const lines = stderr.split('\n').filter((line) => line !== '')
  for (const secret of place.secrets) {
    expect(lines.filter((line) => line.includes(secret))).toEqual([])
    expect(stdout).not.toContain(secret)
  }
  const complaints = lines.filter((line) => !line.startsWith('{') || /"level":[56]0/.test(line))
  expect(complaints.filter((line) => !KNOWN_COMPLAINT.test(line)).slice(0, 3)).toEqual([])
  // The first doors bring in what is loaded once; from then on it stays as it is.
  expect(Math.max(...memory)).toBeLessThan((memory[1] ?? 0) + 200 * 2 ** 20)
})
