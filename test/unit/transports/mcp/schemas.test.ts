import { expect, test } from 'vitest'
import { listTools } from '../../../../src/transports/mcp/tools.ts'

/** Every schema and part of a schema, by its path. */
function parts(node: unknown, path: string): readonly (readonly [string, object])[] {
  if (typeof node !== 'object' || node === null) return []
  const below = Object.entries(node).flatMap(([key, value]) => parts(value, `${path}/${key}`))
  return Array.isArray(node) ? below : [[path, node], ...below]
}

const schemas = listTools().flatMap(({ name, inputSchema, outputSchema }) => [
  ...parts(inputSchema, `${name}/input`),
  ...parts(outputSchema, `${name}/output`),
])

/** Model APIs with one type a schema (OpenAPI 3.0, Gemini) refuse a tool with several, or drop them. */
test('no schema of a tool has a list of types', () => {
  expect(schemas.length).toBeGreaterThan(100)
  const listed = schemas.filter(([, part]) => 'type' in part && Array.isArray(part.type))
  expect(listed.map(([path]) => path)).toEqual([])
})

test('a schema of a tool that takes anything says so', () => {
  const empty = schemas.filter(
    ([, part]) =>
      'additionalProperties' in part &&
      typeof part.additionalProperties === 'object' &&
      Object.keys(part.additionalProperties ?? {}).length === 0,
  )
  expect(empty.map(([path]) => path)).toEqual([])
})
