import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { References } from '../../../src/channels/telegram/references.ts'

const references = new References('a key that nobody outside knows')
const others = new References('another key')

const requestId = fc.uuid()
const option = fc.nat({ max: 19 })
const chat = fc.integer({ min: -(2 ** 52), max: 2 ** 52 }).map(String)
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** A text with one place changed, left out or added. */
const changed = (text: string) =>
  fc
    .tuple(
      fc.nat({ max: text.length - 1 }),
      fc.oneof(fc.constantFrom(...BASE64URL, '.', ' ', '\n'), fc.string({ unit: 'binary' })),
      fc.nat({ max: 1 }),
    )
    .map(([at, put, cut]) => text.slice(0, at) + put + text.slice(at + cut))
    .filter((other) => other !== text)

describe('the data of a button', () => {
  test('says which request and option it is of', () => {
    fc.assert(
      fc.property(requestId, option, chat, (id, i, of) => {
        expect(references.readButton(references.button(id, i, of), of)).toEqual({
          requestId: id,
          option: i,
        })
      }),
    )
  })

  test('fits into the 64 bytes that Telegram allows', () => {
    fc.assert(
      fc.property(requestId, option, chat, (id, i, of) => {
        const bytes = Buffer.byteLength(references.button(id, i, of))
        expect(bytes).toBeGreaterThan(0)
        expect(bytes).toBeLessThanOrEqual(64)
      }),
    )
  })

  test('is worth nothing in another chat, with another key, or for another request or option', () => {
    fc.assert(
      fc.property(requestId, requestId, option, option, chat, chat, (id, id2, i, i2, of, of2) => {
        fc.pre(id !== id2 && i !== i2 && of !== of2)
        const data = references.button(id, i, of)
        expect(references.readButton(data, of2)).toBeUndefined()
        expect(others.readButton(data, of)).toBeUndefined()
        const [version, , , mac] = data.split('.')
        const [, encoded] = references.button(id2, i, of).split('.')
        const [, own] = data.split('.')
        expect(references.readButton([version, encoded, i, mac].join('.'), of)).toBeUndefined()
        expect(references.readButton([version, own, i2, mac].join('.'), of)).toBeUndefined()
      }),
    )
  })

  test('is worth nothing when any of it is changed', () => {
    const data = references.button('0d9bb2b0-5b0a-4f0e-9c1c-7a3f2f1e6d55', 1, '501')
    fc.assert(
      fc.property(changed(data), (other) => {
        expect(references.readButton(other, '501')).toBeUndefined()
      }),
      { numRuns: 5_000 },
    )
  })

  test('is worth nothing when one character is another, anywhere', () => {
    const data = references.button('0d9bb2b0-5b0a-4f0e-9c1c-7a3f2f1e6d55', 1, '501')
    const taken = [...data].flatMap((_, at) =>
      [...BASE64URL]
        .filter((put) => {
          const other = data.slice(0, at) + put + data.slice(at + 1)
          return other !== data && references.readButton(other, '501') !== undefined
        })
        .map((put) => `${put} at ${at}`),
    )
    expect(taken).toEqual([])
  })

  test('can be any text, and is then worth nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), chat, (data, of) => {
        expect(references.readButton(data, of)).toBeUndefined()
      }),
    )
    const made = fc.stringMatching(/^1\.[\w-]{22}\.(0|[1-9]\d?)\.[\w-]{16}$/)
    fc.assert(fc.property(made, (data) => references.readButton(data, '501') === undefined))
  })

  test('is another for each option, so that each press is of one', () => {
    const all = Array.from({ length: 20 }, (_, i) => references.button(crypto.randomUUID(), i, '1'))
    expect(new Set(all).size).toBe(20)
  })
})

describe('the last line of a card', () => {
  test('says which request it is of, whatever stands before it', () => {
    fc.assert(
      fc.property(requestId, chat, fc.string({ unit: 'binary' }), (id, of, before) => {
        expect(references.readLine(`${before}\n${references.line(id, of)}`, of)).toBe(id)
      }),
    )
  })

  test('begins with the id, for people', () => {
    const id = crypto.randomUUID()
    expect(references.line(id, '1').startsWith(`${id}.`)).toBe(true)
  })

  test('counts only at the very end', () => {
    fc.assert(
      fc.property(requestId, chat, fc.string({ minLength: 1 }), (id, of, after) => {
        expect(references.readLine(references.line(id, of) + after, of)).toBeUndefined()
      }),
    )
    const [mine, quoted] = [crypto.randomUUID(), crypto.randomUUID()]
    const text = `${references.line(quoted, '1')}\n${references.line(mine, '1')}`
    expect(references.readLine(text, '1')).toBe(mine)
  })

  test('is worth nothing when any of it is changed, in another chat, or with another key', () => {
    const line = references.line('0d9bb2b0-5b0a-4f0e-9c1c-7a3f2f1e6d55', '501')
    fc.assert(
      fc.property(changed(line), (other) => {
        // What is put before the line is not a part of it.
        fc.pre(!other.endsWith(line))
        expect(references.readLine(other, '501')).toBeUndefined()
      }),
      { numRuns: 5_000 },
    )
    expect(references.readLine(line, '502')).toBeUndefined()
    expect(others.readLine(line, '501')).toBeUndefined()
  })

  test('is no data of a button, and the other way round', () => {
    const id = crypto.randomUUID()
    expect(references.readButton(references.line(id, '1'), '1')).toBeUndefined()
    expect(references.readLine(references.button(id, 0, '1'), '1')).toBeUndefined()
    const [, mac] = references.line(id, '1').split('.')
    const [version, encoded] = references.button(id, 0, '1').split('.')
    expect(references.readButton(`${version}.${encoded}.0.${mac}`, '1')).toBeUndefined()
  })
})
