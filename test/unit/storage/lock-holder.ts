import { lockDataDirectory } from '../../../src/storage/data-lock.ts'

/** A process that takes the locks it is told to take, says whether it did, and keeps them. */
process.on('message', (dir: string) => {
  try {
    lockDataDirectory(dir)
    process.send?.('taken')
  } catch (error) {
    process.send?.(error instanceof Error ? error.name : String(error))
  }
})
process.send?.('ready')
