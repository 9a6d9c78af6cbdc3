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
