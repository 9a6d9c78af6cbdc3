import { expect, test } from 'vitest'
import { runShort } from './short.ts'

test('no promise breaks while everything around it does, on PostgreSQL with two processes', async () => {
  const { violations, acknowledged, heard, faults } = await runShort('postgres')
  expect(violations).toEqual([])
  // It was no idle run.
  expect(acknowledged).toBeGreaterThan(10)
  expect(heard).toBeGreaterThan(50)
  expect(faults.get('kill -9')).toBeGreaterThan(0)
})
