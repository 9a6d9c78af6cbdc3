import { expect, test } from 'vitest'
import { PersonTokens } from '../../src/http/tokens.ts'
import { createLogger } from '../../src/log.ts'
import { CHECKPOINT_TYP } from '../../src/proof/checkpoint.ts'
import { RECEIPT_TYP } from '../../src/proof/receipt.ts'
import { ALGORITHM } from '../../src/proof/signed.ts'

/** What the log makes of a text, as it is written. */
function logged(jws: string): string {
  const lines: string[] = []
  createLogger('info', { write: (line) => lines.push(line) }).info({ jws })
  return JSON.parse(lines.join('')).jws
}

const base64url = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
const signed = (typ: string) =>
  [
    base64url({ alg: ALGORITHM, typ, kid: 'k-1' }),
    ...[base64url({ iss: 'loopgate', number: 7 }), Buffer.alloc(64, 7).toString('base64url')],
  ].join('.')

test('a checkpoint of the audit log is logged as it is, for whoever keeps it', () => {
  const checkpoint = signed(CHECKPOINT_TYP)
  expect(logged(checkpoint)).toBe(checkpoint)
})

test('the token of a person, a receipt and an API key are not in the log', async () => {
  const tokens = new PersonTokens('only-for-tests-and-long-enough-to-sign')
  const token = await tokens.issue({
    ...{ type: 'person', tenant: 't', channel: 'console', id: 'ann', name: 'Ann' },
  })
  for (const secret of [token, signed(RECEIPT_TYP), `lk_pub_${'0a'.repeat(32)}`]) {
    expect(logged(secret)).toBe('[redacted]')
  }
})
