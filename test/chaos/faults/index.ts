import { diskFaults } from './disk.ts'
import type { Fault } from './fault.ts'
import { networkFaults } from './network.ts'
import { outageFaults } from './outage.ts'
import { processFaults } from './processes.ts'
import { telegramFaults } from './telegram.ts'

export const faults: readonly Fault[] = [
  ...processFaults,
  ...networkFaults,
  ...telegramFaults,
  ...diskFaults,
  ...outageFaults,
]
