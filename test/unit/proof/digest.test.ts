import { describe, expect, test } from 'vitest'
import { contentDigest as clientDigest } from '../../../client/receipt.ts'
import { contentDigest, textDigest } from '../../../src/proof/digest.ts'
import { toView } from '../../../src/protocol/view.ts'
import { aQuestion, aRequest } from '../../support/builders.ts'

describe('the digest of what was asked', () => {
  test('is SHA-256 over the RFC 8785 form, written out by hand', () => {
    const question = aQuestion({
      message: 'Straße "x"\n',
      metadata: { b: 1.5, a: [true, null], '\u20ac': 'euro', '1': 1e21 },
      options: [{ label: 'Yes', effect: 'approve' }],
    })
    const text =
      '{"client_id":"client-1","message":"Straße \\"x\\"\\n",' +
      '"metadata":{"1":1e+21,"a":[true,null],"b":1.5,"€":"euro"},' +
      '"options":[{"effect":"approve","label":"Yes"}],"request_type":"choice",' +
      '"session_id":"session-1"}'
    expect(contentDigest(question)).toBe(textDigest(text))
  })

  test('is the same in the client, from the view', async () => {
    const request = aRequest({ question: { metadata: { ключ: ['☃', 0.1, -0] } } })
    expect(await clientDigest(toView(request))).toBe(contentDigest(request.question))
  })

  test.each([
    ['the message', { message: 'Deploy to staging?' }],
    ['the metadata', { metadata: { version: 'v2' } }],
    ['the order of the options', { options: aQuestion().options.toReversed() }],
    ['what an option means', { options: [{ label: 'Deploy', effect: 'other' as const }] }],
    ['the kind of request', { type: 'input' as const }],
    ['the client', { clientId: 'client-2' }],
    ['the session', { sessionId: 'session-2' }],
  ])('changes with %s', (_, over) => {
    expect(contentDigest(aQuestion(over))).not.toBe(contentDigest(aQuestion()))
  })

  test('does not change with what was not asked, such as when and whom', () => {
    const other = aQuestion({ id: 'x', tenant: 't', createdAt: new Date(0), reviewers: {} })
    expect(contentDigest(other)).toBe(contentDigest(aQuestion()))
  })
})
