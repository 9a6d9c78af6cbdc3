import { setTimeout } from 'node:timers/promises'
import type { Fault } from './faults/fault.ts'
import type { Scene } from './place.ts'
import { Random } from './random.ts'

export interface Planned {
  readonly atMs: number
  readonly fault: Fault
  /** What is drawn while it happens comes from here. */
  readonly seed: number
}

/** When what goes wrong. A seed gives the same plan each time; a fault more changes no other's. */
export function plan(faults: readonly Fault[], seed: number, durationMs: number): Planned[] {
  return faults
    .filter(({ leastSeconds = 0 }) => durationMs >= leastSeconds * 1_000)
    .flatMap((fault) => {
      const random = new Random(seed, fault.name)
      const [least, most] = fault.every.map((seconds) => seconds * 1_000) as [number, number]
      const planned: Planned[] = []
      // The first comes after a part of its pause, so that a short run has each kind.
      for (let at = random.whole(0, most); at < durationMs; at += random.whole(least, most)) {
        planned.push({ atMs: at, fault, seed: random.whole(0, 2 ** 31) })
      }
      return planned
    })
    .sort((a, b) => a.atMs - b.atMs)
}

/** Carries a plan out. One fault of a kind at a time: what comes too early is left out. */
export async function carryOut(
  planned: readonly Planned[],
  scene: Scene,
  over: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  const busy = new Map<string, Promise<void>>()
  const begun = Date.now()
  for (const { atMs, fault, seed } of planned) {
    await setTimeout(Math.max(0, begun + atMs - Date.now()), undefined, { signal: over }).catch(
      () => undefined,
    )
    if (over.aborted) break
    if (busy.has(fault.name) || !fault.fits(scene)) continue
    counts.set(fault.name, (counts.get(fault.name) ?? 0) + 1)
    const injected = inject(fault, scene, seed).finally(() => busy.delete(fault.name))
    busy.set(fault.name, injected)
  }
  await Promise.all(busy.values())
  return counts
}

async function inject(fault: Fault, scene: Scene, seed: number): Promise<void> {
  const at = Date.now()
  const detail = await fault
    .inject(scene, new Random(seed))
    .catch((error: unknown) => String(error))
  scene.history.add({ t: 'fault', at, name: fault.name, detail })
}
