import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  AddressError,
  isPublic,
  requireAllowed,
  urlProblem,
  vettedLookup,
} from '../../../src/transports/webhook/addresses.ts'

const STRICT = { allowPrivate: false }
const OPEN = { allowPrivate: true }

describe('a callback_url', () => {
  test.each([
    'https://example.com/hook',
    'http://example.com',
    'https://example.com:8443/a?b=c',
    'https://example.com.:443/',
    'https://8.8.8.8/',
    'https://[2606:4700:4700::1111]/',
    'https://bücher.example/',
  ])('may be %s', (url) => {
    expect(urlProblem(url, STRICT)).toBeUndefined()
  })

  test.each([
    ...['http://127.0.0.1', 'http://localhost', 'http://localhost.', 'http://a.localhost'],
    ...['http://0', 'http://0x7f.1', 'http://2130706433', 'http://127.1', 'http://0177.0.0.1'],
    ...['http://①②⑦.0.0.1', 'http://127。0。0。1', 'http://[::1]', 'http://[::]'],
    ...['http://[::ffff:7f00:1]', 'http://[::ffff:10.0.0.1]', 'http://[::127.0.0.1]'],
    ...['http://[64:ff9b::7f00:1]', 'http://[2002:7f00:1::]', 'http://[2001:0:7f00:1::]'],
    ...['http://[fe80::1]', 'http://[fc00::1]', 'http://[fd00::1]', 'http://[ff02::1]'],
    ...['http://[2001:db8::1]', 'http://[64:ff9b:1::1]', 'http://[100::1]', 'http://[fec0::1]'],
    ...['http://10.0.0.1', 'http://172.16.0.1', 'http://192.168.1.1', 'http://169.254.169.254'],
    ...['http://100.64.0.1', 'http://192.0.0.1', 'http://198.18.0.1', 'http://224.0.0.1'],
    ...['http://240.0.0.1', 'http://255.255.255.255', 'http://0.0.0.0', 'http://192.0.2.1'],
    ...['http://metadata.google.internal', 'http://printer.local', 'http://intranet', 'http://db'],
    ...['http://router.lan', 'http://nas.home.arpa', 'http://x.test'],
  ])('must not lead inside: %s', (url) => {
    expect(urlProblem(url, STRICT)).toMatch(/address|host name/)
    expect(urlProblem(url, OPEN)).toBeUndefined()
  })

  test.each([
    ...['ftp://example.com', 'file:///etc/passwd', 'gopher://example.com', 'unix:/run/x.sock'],
    ...['https://user:pass@example.com', 'https://user@example.com', 'https://example.com/#a'],
    ...['/hook', 'example.com', '', 'http://', `https://example.com/${'x'.repeat(3_000)}`],
    ...['http://[fe80::1%25eth0]/', 'http://1.2.3.4.5:x'],
  ])('is no other thing, whatever is allowed: %s', (url) => {
    expect(urlProblem(url, STRICT)).toBeDefined()
    expect(urlProblem(url, OPEN)).toBeDefined()
  })

  test.each([22, 25, 3306, 5432, 6379, 9200, 1, 65535])('has no port like %i', (port) => {
    expect(urlProblem(`https://example.com:${port}`, STRICT)).toContain('port')
    expect(urlProblem(`https://example.com:${port}`, OPEN)).toBeUndefined()
  })
})

test.each(['8.8.8.8', '2606:4700::1', '::ffff:8.8.8.8'])('%s is public', (address) => {
  expect(isPublic(address)).toBe(true)
})

test.each(['fe80::1%eth0', '2606:4700::1%1', 'nonsense', '', '127.1'])('%s is not', (address) => {
  expect(isPublic(address)).toBe(false)
})

/** A name server that always finds these. */
const finds =
  (...addresses: string[]): LookupFunction =>
  (_hostname, _options, callback) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )

function look(lookup: LookupFunction, all: boolean): Promise<string | LookupAddress[]> {
  const { promise, resolve, reject } = Promise.withResolvers<string | LookupAddress[]>()
  lookup('example.com', { all }, (error, found) => (error ? reject(error) : resolve(found)))
  return promise
}

describe('the lookup for connecting', () => {
  test('gives out what was found, all or the first', async () => {
    const lookup = vettedLookup(STRICT, finds('8.8.8.8', '2606:4700::1'))
    expect(await look(lookup, true)).toEqual([
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700::1', family: 6 },
    ])
    expect(await look(lookup, false)).toBe('8.8.8.8')
  })

  test.each([
    [['10.0.0.1']],
    [['8.8.8.8', '127.0.0.1']],
    [['::ffff:169.254.169.254']],
    [['64:ff9b::a00:1']],
    [['fe80::1%eth0']],
    [[]],
  ])('gives out nothing of %j', async (addresses) => {
    for (const all of [true, false]) {
      await expect(look(vettedLookup(STRICT, finds(...addresses)), all)).rejects.toThrow(
        AddressError,
      )
    }
  })

  test('lets everything through when that is allowed', async () => {
    expect(await look(vettedLookup(OPEN, finds('10.0.0.1')), false)).toBe('10.0.0.1')
  })

  test('passes on that there is no such name', async () => {
    const fails: LookupFunction = (_hostname, _options, callback) =>
      callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), '', 0)
    await expect(look(vettedLookup(STRICT, fails), true)).rejects.toThrow('no such name')
  })
})

test('a literal address, which is not looked up, is judged as well', () => {
  for (const host of ['127.0.0.1', '[::1]', '[::ffff:7f00:1]']) {
    expect(() => requireAllowed(host, STRICT)).toThrow(AddressError)
    expect(() => requireAllowed(host, OPEN)).not.toThrow()
  }
  for (const host of ['8.8.8.8', '[2606:4700::1]', 'example.com']) {
    expect(() => requireAllowed(host, STRICT)).not.toThrow()
  }
})
