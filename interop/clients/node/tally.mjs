// What a client did and what went wrong, for the program that runs it.

export const url = process.env.REDIS_URL
export const end = Date.now() + 1000 * Number(process.env.SECONDS)
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

export class Tally {
  done = {}
  errors = []
  reconnects = 0

  count(what, n = 1) { this.done[what] = (this.done[what] ?? 0) + n }
  fail(what, error) { this.errors.push(`${what}: ${error?.stack?.split('\n')[0] ?? error}`) }
  check(what, got, want) {
    if (JSON.stringify(got) !== JSON.stringify(want)) this.fail(what, `got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
  }

  // repeat does work until the time is over. What it throws is an error.
  async repeat(what, pause, work) {
    for (let i = 1; Date.now() < end; i++) {
      try {
        await work(i)
        this.count(what)
      } catch (error) {
        this.fail(what, error)
      }
      await sleep(pause)
    }
  }

  // sequence returns a function that is to be given 1, 2, 3, ... as messages come.
  sequence(what) {
    let last = 0
    return message => {
      if (Number(message) !== last + 1) this.fail(what, `message ${message} behind ${last}`)
      last = Number(message)
      this.count(what)
    }
  }

  print() {
    console.log(JSON.stringify({ done: this.done, errors: this.errors.slice(0, 10), failed: this.errors.length, reconnects: this.reconnects }))
    process.exit(0) // whatever is still open
  }
}

// until waits for a condition, for some seconds.
export async function until(condition, limit = 10000) {
  for (const began = Date.now(); Date.now() < began + limit && !condition();) await sleep(20)
}
