import { run } from './processes.ts'
import { table } from './report.ts'

/** What telling other processes costs those who settle. */
export async function measureWriters(databaseUrl: string): Promise<string> {
  await using other = run('src/main.ts', [], {
    DATABASE_URL: databaseUrl,
    SERVER_PORT: '0',
    LOG_LEVEL: 'error',
  })
  await other.said(/listening on/)
  await using writers = run('test/bench/writers.ts', [], { DATABASE_URL: databaseUrl })
  const [, told = '', silent = ''] = await writers.said(/^told (\d+) silent (\d+)/)
  const share = (Number(told) / Number(silent)).toFixed(2)
  return table(
    ['', 'a second', 'told / silent'],
    [
      ['nobody is told', silent, ''],
      ['other processes are told', told, `${share} ×`],
    ],
  )
}
