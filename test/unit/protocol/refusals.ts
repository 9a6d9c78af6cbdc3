import { expect } from 'vitest'
import { LoopgateError } from '../../../src/core/errors.ts'

/** The paths that a refused input is refused for, in order of the text; empty when it is taken. */
export function wrongPaths(read: () => unknown): string[] {
  try {
    read()
    return []
  } catch (error) {
    if (!(error instanceof LoopgateError)) throw error
    expect(error.code).toBe('INVALID_INPUT')
    expect(error.details.issues?.length).toBeGreaterThan(0)
    return [...new Set(error.details.issues?.map(({ path }) => path))].sort()
  }
}
