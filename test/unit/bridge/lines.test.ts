import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { linesOf } from '../../../src/bridge/lines.ts'

async function read(chunks: readonly string[], maxBytes?: number) {
  const lines: (string | undefined)[] = []
  const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
  for await (const line of linesOf(stream, maxBytes)) lines.push(line)
  return lines
}

test('a line ends at a newline and nowhere else, however it arrives', async () => {
  expect(await read(['{"a"', ':"\u2028\r"}\n{', '}\n\nlast'])).toEqual([
    '{"a":"\u2028\r"}',
    '{}',
    '',
    'last',
  ])
})

test('a line that is too long is dropped, and the next one is read', async () => {
  expect(await read(['12345', '6789\n1234', '\n'], 8)).toEqual([undefined, '1234'])
})
