// node-redis over RESP2 and RESP3: commands, transactions, scripts, blocking reads, pub/sub, client-side caching.

import { createClient, defineScript } from 'redis'
import { Tally, end, until, url } from './tally.mjs'

const tally = new Tally()
const bump = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: 'return redis.call("INCRBY", KEYS[1], ARGV[1])',
  parseCommand(parser, key, by) {
    parser.pushKey(key)
    parser.push(String(by))
  },
  transformReply: reply => reply,
})

async function open(options) {
  const c = createClient({ url, scripts: { bump }, ...options })
  c.on('error', error => tally.fail('connection', error))
  c.on('reconnecting', () => tally.reconnects++)
  await c.connect()
  return c
}

await Promise.all([2, 3].map(play))
tally.print()

async function play(RESP) {
  const name = `node-redis:${RESP}`
  const [plain, watcher, blocked, subscriber, publisher] = await Promise.all([1, 2, 3, 4, 5].map(() => open({ RESP })))
  const received = tally.sequence(`messages RESP${RESP}`)
  await subscriber.subscribe(`${name}:news`, received)
  let published = 0
  let pushed = 0
  await Promise.all([
    tally.repeat(`commands RESP${RESP}`, 5, async i => {
      // Sent together, as node-redis does by itself.
      const [, got] = await Promise.all([plain.set(`${name}:k`, String(i)), plain.get(`${name}:k`)])
      tally.check('GET', got, String(i))
    }),
    tally.repeat(`transactions RESP${RESP}`, 20, async () => {
      await watcher.watch(`${name}:sum`)
      const n = Number(await watcher.get(`${name}:sum`))
      const replies = await watcher.multi().set(`${name}:sum`, String(n + 1)).get(`${name}:sum`).exec()
      tally.check('EXEC', replies, ['OK', String(n + 1)])
    }),
    tally.repeat(`scripts RESP${RESP}`, 20, async i => tally.check('EVALSHA', await plain.bump(`${name}:bumped`, 2), 2 * i)),
    tally.repeat(`pushed RESP${RESP}`, 100, async () => { await plain.rPush(`${name}:list`, String(++pushed)) }),
    (async () => {
      for (let popped = 0; Date.now() < end || popped < pushed;) {
        const got = await blocked.blPop(`${name}:list`, 5)
        if (got === null) break
        tally.check('BLPOP', got.element, String(++popped))
        tally.count(`popped RESP${RESP}`)
      }
    })().catch(error => tally.fail('BLPOP', error)),
    tally.repeat(`published RESP${RESP}`, 20, async () => { await publisher.publish(`${name}:news`, String(++published)) }),
    RESP === 3 ? cache(name, plain) : null,
  ])
  await until(() => tally.done[`messages RESP${RESP}`] === published)
  tally.check('messages received', tally.done[`messages RESP${RESP}`], published)
}

// cache has a client that keeps what it has read, until Redis says that it changed.
async function cache(name, writer) {
  const reader = await open({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100 } })
  await tally.repeat('cached reads', 50, async i => {
    await writer.set(`${name}:cached`, String(i))
    let got
    await until(() => { reader.get(`${name}:cached`).then(v => { got = v }); return got === String(i) }, 2000)
    tally.check('cached GET', got, String(i))
    tally.check('cached GET again', await reader.get(`${name}:cached`), String(i))
  })
}
