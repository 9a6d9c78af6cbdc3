/** Codes of errors: JSON-RPC 2.0, section 5.1. From -32000 to -32099 are the server's own. */
export const PARSE_ERROR = -32_700
export const INVALID_REQUEST = -32_600
export const METHOD_NOT_FOUND = -32_601
export const INVALID_PARAMS = -32_602
export const INTERNAL_ERROR = -32_603
export const SERVER_ERROR = -32_000
/** As the official SDK says it; no revision of MCP names one. */
export const SESSION_NOT_FOUND = -32_001
/** Resources, "Error Handling", in the revisions of MCP up to 2025-11-25. */
export const RESOURCE_NOT_FOUND = -32_002
/** MissingRequiredClientCapability of MCP 2026-07-28. */
export const MISSING_CAPABILITY = -32_021
