import { describe, expect, test } from 'vitest'
import { shownText } from '../../../src/core/shown.ts'
import { aQuestion } from '../../support/builders.ts'

describe('the whole text of a question', () => {
  test('V7: says everything that a reviewer is shown of it', () => {
    const metadata = { environment: 'production', hosts: ['a', 'b'] }
    expect(shownText(aQuestion({ message: 'Deploy\nv2?', metadata })).split('\n')).toEqual([
      'Request 00000000-0000-4000-8000-000000000001',
      'Client client-1',
      'Session session-1',
      'Type choice, asked 2026-01-02T03:04:05.006Z, open until 2026-01-02T03:09:05.006Z',
      '',
      '--- options: 3 ---',
      '1 approves: Deploy',
      '2 refuses: Hold',
      '3 only answers: Review first',
      '',
      '--- metadata: 2 ---',
      'environment: production',
      'hosts: ["a","b"]',
      '',
      '--- message: 10 characters, to the end ---',
      'Deploy',
      'v2?',
      '',
    ])
  })

  test('V7: has nothing in it that is not seen', () => {
    const hidden = 'a\u202e\u200bb'
    const text = shownText(
      aQuestion({
        message: hidden,
        clientId: hidden,
        sessionId: hidden,
        metadata: { [hidden]: hidden },
        options: [{ label: hidden, effect: 'other' }],
      }),
    )
    expect(text).not.toMatch(/[\u202e\u200b]/)
    expect(text.match(/a⟨U\+202E⟩⟨U\+200B⟩b/g)).toHaveLength(6)
  })

  test('V7: can not be imitated by a question that says something else', () => {
    const real = aQuestion({ message: 'Pay', metadata: { to: 'Ann' } })
    const whole = shownText(real)
    const fake = whole.slice(whole.indexOf('--- metadata'))
    const forged = [
      aQuestion({ message: `x\n\n${fake}`, metadata: {} }),
      aQuestion({ message: 'Pay', metadata: { [`x\n${fake}`]: '' } }),
      aQuestion({ message: 'Pay', metadata: { to: 'Ann', '--- message': '3 characters' } }),
    ]
    for (const question of forged) {
      const [head = ''] = shownText(question).split(
        /\n--- message: \d+ characters, to the end ---\n/,
      )
      const facts = Number(/^--- metadata: (\d+) ---$/m.exec(head)?.[1])
      expect(facts).toBe(Object.keys(question.metadata).length)
      expect(head.split('\n').slice(-facts - 2)[0]).toBe(`--- metadata: ${facts} ---`)
    }
  })
})
