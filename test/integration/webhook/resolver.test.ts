import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { expect, test } from 'vitest'
import { AddressError, vettedLookup } from '../../../src/transports/webhook/addresses.ts'
import { resolverLookup } from '../../../src/transports/webhook/resolver.ts'
import { startNameServer } from '../../support/name-server.ts'

const SIX = '2606:4700:0:0:0:0:0:1'
const NAMES = {
  'both.example': ['8.8.8.8', '8.8.4.4', SIX],
  'four.example': ['8.8.8.8'],
  'six.example': [SIX],
  'inside.example': ['8.8.8.8', '10.0.0.1'],
  'empty.example': [],
}

function look(lookup: LookupFunction, name: string): Promise<string | LookupAddress[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string | LookupAddress[]>()
  lookup(name, { all: true }, (error, found) => (error ? reject(error) : resolve(found)))
  return promise
}

test('a name is all its addresses, of whatever family it has', async () => {
  await using server = await startNameServer(NAMES)
  const lookup = resolverLookup([server.address])
  expect(await look(lookup, 'both.example')).toEqual([
    { address: '8.8.8.8', family: 4 },
    { address: '8.8.4.4', family: 4 },
    { address: '2606:4700::1', family: 6 },
  ])
  expect(await look(lookup, 'four.example')).toHaveLength(1)
  expect(await look(lookup, 'six.example')).toEqual([{ address: '2606:4700::1', family: 6 }])
})

test('a name that does not exist, or has no address, is an error that says so', async () => {
  await using server = await startNameServer(NAMES)
  const lookup = resolverLookup([server.address])
  await expect(look(lookup, 'nowhere.example')).rejects.toMatchObject({ code: 'ENOTFOUND' })
  await expect(look(lookup, 'empty.example')).rejects.toMatchObject({ code: 'ENODATA' })
})

test('one address that is not allowed spoils the name', async () => {
  await using server = await startNameServer(NAMES)
  const lookup = vettedLookup({ allowPrivate: false }, resolverLookup([server.address]))
  expect(await look(lookup, 'four.example')).toEqual([{ address: '8.8.8.8', family: 4 }])
  await expect(look(lookup, 'inside.example')).rejects.toThrow(AddressError)
})

test('a name server that never answers is given up', async () => {
  await using server = await startNameServer('silent')
  const lookup = resolverLookup([server.address], 20)
  await expect(look(lookup, 'slow.example')).rejects.toMatchObject({ code: 'ETIMEOUT' })
})
