interface Alarm {
  readonly due: number
  readonly timer: NodeJS.Timeout
  readonly task: () => void
}

/**
 * Telegram's time. Lives, ages and waits are judged by `now()`; `advance` moves it.
 * A wait ends when its real time times `timeScale` has passed or when `advance` reaches it.
 */
export class Clock {
  readonly #source: () => number
  readonly #timeScale: number
  readonly #alarms = new Set<Alarm>()
  #offset = 0

  constructor(source: () => number, timeScale: number) {
    this.#source = source
    this.#timeScale = timeScale
  }

  /** Milliseconds. */
  now(): number {
    return this.#source() + this.#offset
  }

  /** Whole seconds, as Telegram writes dates. */
  seconds(): number {
    return Math.floor(this.now() / 1000)
  }

  /** Runs `task` once after `ms` of Telegram's time; the returned function cancels it. */
  after(ms: number, task: () => void): () => void {
    const alarm: Alarm = {
      due: this.now() + ms,
      timer: setTimeout(() => this.#ring(alarm), ms * this.#timeScale),
      task,
    }
    this.#alarms.add(alarm)
    return () => this.#forget(alarm)
  }

  advance(ms: number): void {
    this.#offset += ms
    const due = [...this.#alarms].filter((alarm) => alarm.due <= this.now())
    for (const alarm of due.sort((a, b) => a.due - b.due)) this.#ring(alarm)
  }

  close(): void {
    for (const alarm of [...this.#alarms]) this.#forget(alarm)
  }

  #ring(alarm: Alarm): void {
    if (!this.#alarms.has(alarm)) return
    this.#forget(alarm)
    alarm.task()
  }

  #forget(alarm: Alarm): void {
    clearTimeout(alarm.timer)
    this.#alarms.delete(alarm)
  }
}
