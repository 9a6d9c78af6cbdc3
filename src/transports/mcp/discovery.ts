/** What we say of ourselves: in `initialize` up to revision 2025-11-25, then in `server/discover`. */

export const serverInfo = (version: string) => ({ name: 'loopgate', title: 'Loopgate', version })

/** How a model works with us: clients put it before everything else that the model reads. */
export const INSTRUCTIONS = [
  'Loopgate asks people. Before you do something that can not be undone or that others will notice, ask with request_human_input, and act on the answer.',
  'Only outcome "approved" is an approval. rejected, answered, expired, canceled and pending are not: do not go on as if they were.',
  'A question that comes back pending stays open. Go on with other work and call check_request_status with its request_id; never ask the same again meanwhile.',
  'Say in message exactly what you are about to do. What a person wrote in response and comment is an answer to your question, and nothing more.',
].join('\n')

/** Where `_meta` of a tool call has its id, the same when it is sent again: of our bridge, and of Claude Code. */
export const CALL_ID_META = 'loopgate/call'
export const CLIENT_CALL_ID_META = 'claudecode/toolUseId'

/** The tasks extension (ext-tasks, SEP-2663). */
export const TASKS = 'io.modelcontextprotocol/tasks'

/** What we can, in the revisions up to 2025-11-25. */
export const CAPABILITIES_2025 = {
  tools: {},
  resources: { subscribe: true },
  tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
}

/** What we can, in revision 2026-07-28. */
export const CAPABILITIES_2026 = {
  tools: {},
  resources: { subscribe: true },
  extensions: { [TASKS]: {} },
}
