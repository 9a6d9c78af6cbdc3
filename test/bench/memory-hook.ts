/** Loaded into a measured process: on a message it collects garbage and tells its resident memory. */
process.on('message', () => {
  globalThis.gc?.()
  globalThis.gc?.()
  // A tick for what was freed to be given back.
  setImmediate(() => {
    globalThis.gc?.()
    process.send?.(process.memoryUsage.rss())
  })
})
process.channel?.unref()
