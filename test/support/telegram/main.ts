import { parseArgs } from 'node:util'
import { createControl } from './control.ts'
import { FakeTelegram } from './telegram.ts'

/** Calls remembered when nobody clears them: enough to look into, little enough to run for hours. */
const CALL_LOG_LIMIT = 20_000

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    token: { type: 'string' },
    'time-scale': { type: 'string', default: '1' },
    'enforce-rates': { type: 'boolean', default: false },
  },
})

const fake = await FakeTelegram.start({
  port: Number(values.port),
  ...(values.token === undefined ? {} : { token: values.token }),
  timeScale: Number(values['time-scale']),
  enforceRates: values['enforce-rates'],
  callLogLimit: CALL_LOG_LIMIT,
  control: createControl,
})
console.log(JSON.stringify({ apiRoot: fake.apiRoot, token: fake.token, botId: fake.botId }))

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void fake[Symbol.asyncDispose]())
}
