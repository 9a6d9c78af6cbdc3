import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/** RFC 1035: the header's length, the flags of an answer, a name that was given before, class IN. */
const HEADER = 12
const ANSWERED = 0x8180
const NO_SUCH_NAME = 3
const NAME_POINTER = 0xc00c
const INTERNET = 1
const TYPES = { A: 1, AAAA: 28 } as const

/** A name server on this machine, which knows these names alone, or never answers. */
export interface NameServer extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly address: string
}

export async function startNameServer(
  names: Readonly<Record<string, readonly string[]>> | 'silent',
): Promise<NameServer> {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    if (names !== 'silent') socket.send(answer(query, names), from.port, from.address)
  })
  const { promise: bound, resolve } = Promise.withResolvers<void>()
  socket.bind(0, '127.0.0.1', resolve)
  await bound
  return {
    address: `127.0.0.1:${socket.address().port}`,
    async [Symbol.asyncDispose]() {
      const { promise: closed, resolve: done } = Promise.withResolvers<void>()
      socket.close(done)
      await closed
    },
  }
}

function answer(query: Buffer, names: Readonly<Record<string, readonly string[]>>): Buffer {
  const { name, end } = readName(query)
  const type = query.readUInt16BE(end)
  const known = names[name.toLowerCase()]
  const records = (known ?? [])
    .filter((address) => type === (isIPv6(address) ? TYPES.AAAA : TYPES.A))
    .map((address) => toRecord(address, type))
  const header = Buffer.alloc(HEADER)
  header.writeUInt16BE(query.readUInt16BE(0), 0)
  header.writeUInt16BE(known ? ANSWERED : ANSWERED | NO_SUCH_NAME, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(records.length, 6)
  return Buffer.concat([header, query.subarray(HEADER, end + 4), ...records])
}

function readName(query: Buffer): { name: string; end: number } {
  const labels: string[] = []
  let at = HEADER
  for (let length = query.readUInt8(at); length > 0; length = query.readUInt8(at)) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.'), end: at + 1 }
}

function toRecord(address: string, type: number): Buffer {
  const data = isIPv6(address) ? bytesOfIPv6(address) : Buffer.from(address.split('.').map(Number))
  const head = Buffer.alloc(HEADER)
  head.writeUInt16BE(NAME_POINTER, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(INTERNET, 4)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

/** Written in full: eight groups. */
const bytesOfIPv6 = (address: string): Buffer =>
  Buffer.from(
    address
      .split(':')
      .map((group) => group.padStart(4, '0'))
      .join(''),
    'hex',
  )
