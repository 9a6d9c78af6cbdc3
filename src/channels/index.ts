import { console } from './console/console.ts'
import { telegram } from './telegram/telegram.ts'

/** The registry: one line for each channel. */
export const channels = [console, telegram] as const
