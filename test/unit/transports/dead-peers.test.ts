import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { DeadPeers } from '../../../src/transports/dead-peers.ts'
import { FakeClock } from '../../support/clock.ts'

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'

/** A line as Linux 6.1 writes it. */
const row = (local: string, remote: string, state: string, retransmits: number) =>
  `   0: ${local} ${remote} ${state} 00000010:00000000 01:00000A2B ${retransmits
    .toString(16)
    .toUpperCase()
    .padStart(8, '0')}     0        0 2116607 4 00000000b6aa66bf 3200 4 30 1 -1`

const V4 = { local: '0100007F:1F90', remote: '0263000A:C001' }
const V6 = {
  local: '00000000000000000000000001000000:1F90',
  remote: 'B80D0120000000000000000001000000:C002',
}
/** An IPv4 peer of a server that listens on all addresses. */
const MAPPED = {
  local: '0000000000000000FFFF00000100007F:1F90',
  remote: '0000000000000000FFFF00000263000A:C003',
}

const peer = (remoteAddress: string, remotePort: number) => {
  let lost = 0
  const socket = { localPort: 8080, remoteAddress, remotePort } as Socket
  return { socket, lost: () => lost++, times: () => lost }
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

test('who was sent to again and again without an answer is lost, the others are not', async () => {
  const clock = new FakeClock()
  let tables: string[] = []
  const watch = new DeadPeers(clock, async () => tables)
  const v4 = peer('10.0.99.2', 0xc001)
  const v6 = peer('2001:db8::1', 0xc002)
  const mapped = peer('::ffff:10.0.99.2', 0xc003)
  const alike = peer('10.0.99.3', 0xc001)
  const all = [v4, v6, mapped, alike]
  for (const one of all) watch.add(one)
  const look = async (retransmits: number, state = '01') => {
    const rows = [V4, V6, MAPPED].map((at) => row(at.local, at.remote, state, retransmits))
    tables = [[HEAD, rows[0], ''].join('\n'), [HEAD, rows[1], rows[2], ''].join('\n')]
    clock.advance(5_000)
    await settle()
    return all.map((one) => one.times())
  }
  expect(await look(4)).toEqual([0, 0, 0, 0])
  expect(await look(12, '06')).toEqual([0, 0, 0, 0])
  expect(await look(5)).toEqual([1, 1, 1, 0])
})

test('nobody is looked for when nobody is watched, and nothing is found where nothing is listed', async () => {
  const clock = new FakeClock()
  const watch = new DeadPeers(clock, () => Promise.reject(new Error('ENOENT')))
  const one = peer('10.0.99.2', 0xc001)
  const leave = watch.add(one)
  clock.advance(5_000)
  await settle()
  expect([one.times(), clock.waiting]).toEqual([0, 1])
  leave()
  clock.advance(5_000)
  await settle()
  expect(clock.waiting).toBe(0)
})

test('a real connection to somebody who answers is never lost', async () => {
  const { createServer, connect } = await import('node:net')
  await using server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as import('node:net').AddressInfo
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const client = connect(port, '127.0.0.1')
  const socket = await accepted
  const clock = new FakeClock()
  const watch = new DeadPeers(clock)
  let lost = 0
  watch.add({ socket, lost: () => lost++ })
  socket.write('hello')
  clock.advance(5_000)
  await expect.poll(() => clock.waiting).toBe(1)
  expect(lost).toBe(0)
  watch.stop()
  client.destroy()
  socket.destroy()
})
