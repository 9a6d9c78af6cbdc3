import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Environment, readConfig } from '../config.ts'
import { type Database, openDatabase } from '../storage/database.ts'

/**
 * Opens the database of the configuration for one task. An embedded one must not be in use.
 * @throws {ConfigError}, {DataInUseError}, or an Error for what is not there.
 */
export async function withDatabase<Result>(
  environment: Environment,
  task: (database: Database) => Promise<Result>,
): Promise<Result> {
  const { database: place } = readConfig(environment)
  if (place.type === 'embedded' && !existsSync(join(place.dataDir, 'pgdata'))) {
    throw new Error(
      `there is no database in ${place.dataDir}: see DATABASE_URL and LOOPGATE_DATA_DIR`,
    )
  }
  const database = await openDatabase(place)
  try {
    return await task(database)
  } catch (error) {
    const isOlder = error instanceof Error && 'code' in error && error.code === UNDEFINED_TABLE
    throw isOlder ? new Error('the database is older than this: start the server once') : error
  } finally {
    await database.close()
  }
}

/** PostgreSQL, appendix A. */
const UNDEFINED_TABLE = '42P01'
