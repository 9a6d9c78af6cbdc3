import { connectSse } from '../../support/readers/sse.ts'
import { transportContract } from '../transport.suite.ts'

transportContract('SSE', connectSse)
