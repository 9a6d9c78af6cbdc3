import { expect } from 'vitest'

/** Looks again and again until it is so: for what another part does in its own time. */
export const eventually = <Seen>(look: () => Seen) =>
  expect.poll(look, { timeout: 10_000, interval: 10 })
