import { connectPoll } from '../../support/readers/poll.ts'
import { transportContract } from '../transport.suite.ts'

transportContract('Poll', connectPoll, {
  readRequests: 'polling a request answers its view, not its events',
})
