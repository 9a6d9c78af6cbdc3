import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { RequestView } from '../../src/protocol/types.ts'
import { Asker } from './asking.ts'
import { CallbackReceiver } from './calling.ts'
import { Checker, type Harm, type Violation } from './checker.ts'
import { Ending } from './ending.ts'
import type { Fault } from './faults/fault.ts'
import { faults } from './faults/index.ts'
import { History, readHistory } from './history.ts'
import { type Line, makeLine } from './line.ts'
import { type DatabaseName, Place } from './place.ts'
import { SessionReader } from './reading.ts'
import { Reviewing } from './reviewing.ts'
import { carryOut, plan } from './schedule.ts'

export interface ChaosOptions {
  readonly database: DatabaseName
  readonly processes: number
  readonly telegram: 'polling' | 'webhook'
  readonly seconds: number
  readonly seed: number
  readonly lines: number
  readonly directory: string
  /** Only the faults whose name has one of these; all of them when it is empty. */
  readonly only: readonly string[]
  readonly tell: (line: string) => void
}

export interface ChaosReport {
  readonly seed: number
  readonly operations: number
  readonly acknowledged: number
  readonly heard: number
  /** Callbacks that were taken. */
  readonly calledBack: number
  readonly harms: Readonly<Record<Harm, number>>
  readonly worstProcessRecoveryMs: number
  readonly worstReaderRecoveryMs: number
  readonly faults: ReadonlyMap<string, number>
  readonly violations: readonly Violation[]
  readonly history: string
}

const READERS_PER_LINE = 2
/** What Telegram lets through: a card, its edit and a word to the person for each request. */
const PAUSE_MS = { group: 12_000, person: 4_000 }
const TELL_MS = 5_000
/** A run from so long on has time for what takes long. */
const LONG_SECONDS = 60

/** One run: load and faults for a while, then quiet, then the judgement. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, tell, directory } = options
  await using place = await Place.open(options)
  if (!place.disk) tell('no fault "disk full": mounting a small disk needs root')
  const history = new History(join(directory, 'history.jsonl'))
  const canHang = options.seconds >= LONG_SECONDS
  await using receiver = await CallbackReceiver.start(history, seed, canHang)
  const reviewing = new Reviewing(place, history, seed)
  const asked = new Map<string, Line>()
  const lines = await Promise.all(
    Array.from({ length: options.lines }, (_, number) => makeLine(place, number)),
  )
  const onAsked = (view: RequestView, of: Line) => {
    asked.set(view.request_id, of)
    reviewing.review(view, of)
  }
  const askers = lines.map((line) => {
    return new Asker({ line, place, history, receiver, seed, asked: onAsked })
  })
  await Promise.all(askers.map((asker) => asker.open()))
  const readers = lines.flatMap((line) =>
    Array.from({ length: READERS_PER_LINE }, (_, n) => {
      return new SessionReader(`reader ${n} of ${line.session}`, line, place, history, seed)
    }),
  )
  const over = new AbortController()
  const gone = new AbortController()
  const reading = readers.map((reader) => reader.run(gone.signal))
  const asking = askers.map((asker, i) =>
    asker.run(lines[i]?.isGroup ? PAUSE_MS.group : PAUSE_MS.person, over.signal),
  )
  const counts = () =>
    `${asked.size} asked, ${reviewing.counted} answers counted, ${sum(readers.map(({ heard }) => heard))} events`
  const ticker = setInterval(() => tell(counts()), TELL_MS)
  const duplicates: Fault = {
    name: 'Telegram update again',
    every: [0.5, 2],
    fits: () => true,
    inject: async (_, random) => reviewing.repeatUpdate(random),
  }
  const chosen = [...faults, duplicates].filter(({ name }) => {
    return options.only.length === 0 || options.only.some((part) => name.includes(part))
  })
  const durationMs = options.seconds * 1_000
  const complaints: string[] = []
  const scene = { place, history, complain: (what: string) => complaints.push(what) }
  const injecting = carryOut(plan(chosen, seed, durationMs), scene, over.signal)
  await setTimeout(durationMs)
  over.abort()
  const injected = await injecting
  place.tg.clearFaults()
  receiver.recover()
  tell(`the faults are over: ${counts()}`)
  await Promise.all(asking)
  await reviewing.settled()
  const ending = new Ending(place, tell)
  await ending.rest(asked, readers)
  const owed = askers.flatMap(({ calledBack }) => [...calledBack])
  await ending.calledBack(owed, receiver.taken)
  gone.abort()
  await Promise.all(reading)
  clearInterval(ticker)
  const final = { ...(await ending.read(asked, readers)), complaints }
  await history.close()
  const violations = await judge(history.path, final)
  return {
    seed,
    operations: sum(askers.map(({ attempts }) => attempts)) + reviewing.tried,
    acknowledged: asked.size + reviewing.counted,
    calledBack: receiver.taken.size,
    heard: sum(readers.map(({ heard }) => heard)),
    harms: count(violations),
    worstProcessRecoveryMs: Math.max(...place.servers.map((server) => server.worstRecoveryMs)),
    worstReaderRecoveryMs: Math.max(...readers.map((reader) => reader.worstRecoveryMs)),
    faults: injected,
    violations,
    history: history.path,
  }
}

async function judge(path: string, final: Parameters<Checker['finish']>[0]) {
  const checker = new Checker()
  for await (const fact of readHistory(path)) checker.see(fact)
  return checker.finish(final)
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)

function count(violations: readonly Violation[]): Record<Harm, number> {
  const counts = { lost: 0, doubled: 0, reordered: 0, changed: 0, other: 0 }
  for (const { harm } of violations) counts[harm] += 1
  return counts
}
