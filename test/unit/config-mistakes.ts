import { ConfigError, type Environment, readConfig } from '../../src/config.ts'

/** What is wrong, empty when nothing is. */
export function mistakes(env: Environment): readonly string[] {
  try {
    readConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes
    throw error
  }
}

/** The variables that are named as wrong. */
export const wrong = (env: Environment) =>
  [...new Set(mistakes(env).map((text) => text.split(':')[0]))].sort()
