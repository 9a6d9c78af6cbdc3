import * as z from 'zod'
import { id } from '../../protocol/fields.ts'
import { parseCallbackRegistration } from '../../protocol/requests.ts'
import { sessionOf } from './asking.ts'
import { defineTool, structured, type Tool } from './tool.ts'

export const callbackTool: Tool = defineTool({
  name: 'register_callback',
  title: 'Be called back',
  description:
    'Posts every settled request of the session to an address, signed after Standard Webhooks with ' +
    'webhook_secret. For programs that can receive HTTP; otherwise use check_request_status.',
  input: z.object({
    url: z.string().describe('http or https.'),
    session_id: id.optional().describe('Only needed when there are several sessions.'),
  }),
  output: z.object({ callback_id: z.string(), webhook_secret: z.string() }),
  annotations: {
    readOnlyHint: false,
    destructiveHint: false,
    idempotentHint: true,
    openWorldHint: true,
  },
  canTakeLong: false,
  async call(context, call, { url, session_id }) {
    const address = parseCallbackRegistration({ url }, context.defaults)
    const session = await sessionOf(context, call, { session_id })
    const callback = await context.callbacks.register(call.principal, session.id, address)
    return structured({ callback_id: callback.id, webhook_secret: callback.secret })
  },
})
