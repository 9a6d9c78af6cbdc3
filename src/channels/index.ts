import { console } from './console/console.ts'

/** The registry: one line for each channel. */
export const channels = [console] as const
