import type { ConnectionDefinition } from './connection.ts'
import { poll } from './poll.ts'
import { socketio } from './socketio.ts'
import { sse } from './sse.ts'

/** The registry: one line for each way to receive, the first choice first. */
export const connections = [socketio, sse, poll] as const satisfies readonly ConnectionDefinition[]

export type TransportName = (typeof connections)[number]['name']
