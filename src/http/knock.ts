import type { FastifyRequest } from 'fastify'
import type { Knock } from '../core/ports.ts'

export const knockOf = ({ headers, socket }: FastifyRequest): Knock => ({
  headers,
  remoteAddress: socket.remoteAddress,
})
