import { setTimeout } from 'node:timers/promises'
import * as z from 'zod'
import { LOCAL_TENANT, type Person } from '../../src/core/principal.ts'
import type { HitlRequest } from '../../src/core/request.ts'
import { ask, awaitAnswer } from '../../src/transports/mcp/asking.ts'
import { viewResult } from '../../src/transports/mcp/next-step.ts'
import { defineTool, type Tool, type ToolResult } from '../../src/transports/mcp/tool.ts'

/**
 * The tools that the conformance suites call by name, as far as they ask of a server what Loopgate
 * has. They are tools like the product's, and go the same way to the wire; the product has none.
 */

/** One red pixel, and a WAV without a sample. */
const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/q842iQAAAABJRU5ErkJggg=='
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA='

const text = (said: string) => ({ type: 'text', text: said })
const image = { type: 'image', data: PNG, mimeType: 'image/png' }
const audio = { type: 'audio', data: WAV, mimeType: 'audio/wav' }
const resource = (uri: string, mimeType: string, said: string) => ({
  type: 'resource',
  resource: { uri, mimeType, text: said },
})

/** The product's own tools say text alone; what carries it takes whatever MCP has. */
const result = (...content: readonly object[]): ToolResult => ({
  content: content as unknown as ToolResult['content'],
})

function fixture(name: string, call: Tool['call'], input: z.ZodType = z.object({})): Tool {
  return defineTool({
    ...{ name, title: name, description: `A fixture of the conformance suites: ${name}.`, input },
    annotations: {
      readOnlyHint: true,
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    },
    canTakeLong: false,
    call,
  })
}

/** Answers what the fixtures ask. */
const REVIEWER: Person = {
  ...{ type: 'person', tenant: LOCAL_TENANT, channel: 'console', id: 'fixture', name: 'Fixture' },
}

/** A question that a person takes so many seconds to answer: what is long about a task of ours. */
const slowCompute: Tool = {
  ...fixture(
    'slow_compute',
    async (context, call, input) => {
      const { seconds, label } = input as { readonly seconds: number; readonly label: string }
      const question = { message: label, options: ['Yes', 'No'] }
      const asked = await ask(context, call, 'slow_compute', question)
      const { id } = asked.request.question
      setTimeout(seconds * 1_000, undefined, { ref: false })
        .then(() => context.hub.decide(REVIEWER, id, { option: 'Yes' }))
        // It was canceled meanwhile.
        .catch(() => undefined)
      if (call.task !== 'none') return { task: asked.request }
      return viewResult(context, await awaitAnswer(context, call, asked, seconds + 10))
    },
    z.object({ seconds: z.number(), label: z.string() }),
  ),
  canTakeLong: true,
}

/** A question that the person at the client answers between two calls. */
const asksBetween = (name: string): Tool =>
  fixture(name, async (context, call) => {
    if (call.resumed) return result(text('Asked and answered.'))
    return { asks: (await ask(context, call, name, { message: `${name}?` })).request }
  })

const says = (name: string, ...content: readonly object[]): Tool =>
  fixture(name, async () => result(...content))

/** Every keyword that the suites look for, as they write it (SEP-1613, SEP-2106). */
const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
}

export const fixtures: readonly Tool[] = [
  says('test_simple_text', text('This is a simple text response for testing.')),
  // Loopgate logs to no client, so there is nothing to leave out.
  says('test_logging_tool', text('Nothing is logged to a client.')),
  fixture(
    'greet',
    async (_context, _call, input) => result(text(`Hello, ${(input as { name: string }).name}!`)),
    z.object({ name: z.string() }),
  ),
  slowCompute,
  asksBetween('test_streaming_elicitation'),
  asksBetween('test_input_required_result_elicitation'),
  asksBetween('test_input_required_result_request_state'),
  asksBetween('test_input_required_result_tampered_state'),
  says('test_image_content', image),
  says('test_audio_content', audio),
  says(
    'test_embedded_resource',
    resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
  ),
  says(
    'test_multiple_content_types',
    text('Multiple content types test:'),
    image,
    resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ),
  fixture('test_error_handling', async () => ({
    ...result(text('This tool intentionally returns an error for testing')),
    isError: true,
  })),
  fixture('test_tool_with_progress', async (_context, { progress }) => {
    for (const part of [0, 50, 100]) {
      progress(part, 100, `${part} of 100`)
      await setTimeout(50)
    }
    return result(text('Done.'))
  }),
  fixture(
    'test_elicitation',
    async (_context, { askBeside, signal }, input) => {
      const { message } = input as { readonly message: string }
      const answer = await askBeside?.(asked(message), signal)
      return result(text(`The person at the client says: ${JSON.stringify(answer ?? null)}`))
    },
    z.object({ message: z.string() }),
  ),
  fixture(
    'json_schema_2020_12_tool',
    async () => result(text('Called.')),
    z.looseObject({}).meta({ jsonSchema: SCHEMA_2020_12 }),
  ),
]

/** As much of a question as a form shows. */
const asked = (message: string) =>
  ({ question: { message, options: [], metadata: {} } }) as unknown as HitlRequest
