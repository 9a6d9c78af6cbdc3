import { afterAll, beforeAll, describe } from 'vitest'
import type { TestApp } from '../../support/app.ts'
import { decisionTests } from './decisions.suite.ts'
import { networkTests } from './network.suite.ts'
import { processTests } from './process.suite.ts'
import { readmeTests } from './readme.suite.ts'
import { startServer } from './server.ts'

/** One server for all of them: starting one takes longer than most of what they do. */

let server: TestApp

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

describe('decisions', () => decisionTests(() => server))
describe('the network', () => networkTests(() => server))
describe('the README', () => readmeTests(() => server))
describe('the process', () => processTests(() => server))
