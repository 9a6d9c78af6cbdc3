import type { Scene } from '../place.ts'
import type { Random } from '../random.ts'

/** One way in which the world is bad. What it does follows from numbers that were drawn before. */
export interface Fault {
  readonly name: string
  /** Seconds between one and the next, at least and at most. */
  readonly every: readonly [number, number]
  /** It takes long: only runs of so many seconds have it. */
  readonly leastSeconds?: number
  /** Whether it can happen here. */
  fits(scene: Scene): boolean
  /** What it does, and what is said of it. Ends when the world is good again. */
  inject(scene: Scene, random: Random): Promise<string>
}
