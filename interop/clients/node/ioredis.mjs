// ioredis: commands, pipelines, transactions, scripts, blocking reads, pub/sub; and BullMQ on top of it.

import { Queue, QueueEvents, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { Tally, end, sleep, until, url } from './tally.mjs'

const tally = new Tally()
const open = options => {
  const c = new Redis(url, { maxRetriesPerRequest: null, ...options })
  c.on('error', error => tally.fail('connection', error))
  c.on('reconnecting', () => tally.reconnects++)
  return c
}

const [plain, watcher, blocked, subscriber, publisher] = [1, 2, 3, 4, 5].map(() => open())
plain.defineCommand('bump', { numberOfKeys: 1, lua: 'return redis.call("INCRBY", KEYS[1], ARGV[1])' })

const received = tally.sequence('messages')
subscriber.on('message', (_, message) => received(message))
await subscriber.subscribe('ioredis:news')

let published = 0
let pushed = 0
await Promise.all([
  tally.repeat('commands', 5, async i => {
    await plain.set('ioredis:k', i)
    tally.check('GET', await plain.get('ioredis:k'), String(i))
  }),
  tally.repeat('pipelines', 20, async i => {
    const pipeline = plain.pipeline()
    for (let n = 0; n < 50; n++) pipeline.set(`ioredis:p${n}`, i).get(`ioredis:p${n}`)
    const replies = await pipeline.exec()
    tally.check('pipeline', replies.filter(([error, v], n) => error === null && v === (n % 2 ? String(i) : 'OK')).length, 100)
  }),
  tally.repeat('transactions', 20, async () => {
    await watcher.watch('ioredis:sum')
    const n = Number(await watcher.get('ioredis:sum'))
    const replies = await watcher.multi().set('ioredis:sum', n + 1).get('ioredis:sum').exec()
    tally.check('EXEC', replies, [[null, 'OK'], [null, String(n + 1)]])
  }),
  tally.repeat('scripts', 20, async i => tally.check('EVALSHA', await plain.bump('ioredis:bumped', 2), 2 * i)),
  tally.repeat('pushed', 100, async () => { await plain.rpush('ioredis:list', ++pushed) }),
  (async () => {
    for (let popped = 0; Date.now() < end || popped < pushed;) {
      const got = await blocked.blpop('ioredis:list', 5)
      if (got === null) break
      tally.check('BLPOP', got, ['ioredis:list', String(++popped)])
      tally.count('popped')
    }
  })().catch(error => tally.fail('BLPOP', error)),
  tally.repeat('published', 20, async () => { await publisher.publish('ioredis:news', ++published) }),
  jobs(),
])
await until(() => tally.done.messages === published)
tally.check('messages received', tally.done.messages, published)
tally.print()

// jobs has a queue with plain and delayed jobs. Each has to be done exactly once.
async function jobs() {
  const connection = open()
  const queue = new Queue('jobs', { connection })
  const events = new QueueEvents('jobs', { connection: open() })
  const done = new Map()
  const worker = new Worker('jobs', async job => {
    await job.updateProgress(50)
    return job.data.n * 2
  }, { connection: open(), concurrency: 4 })
  for (const part of [queue, events, worker]) {
    part.on('error', error => tally.fail('BullMQ', error))
    part.on('ioredis:close', () => tally.reconnects++)
  }
  worker.on('failed', (job, error) => tally.fail(`job ${job?.data.n}`, error))
  worker.on('stalled', id => tally.fail(`job ${id}`, 'stalled'))
  events.on('completed', ({ jobId, returnvalue }) => {
    done.set(jobId, (done.get(jobId) ?? 0) + 1)
    if (Number(returnvalue) !== 2 * Number(jobId.slice(1))) tally.fail(`job ${jobId}`, `returned ${returnvalue}`)
  })
  await Promise.all([events.waitUntilReady(), worker.waitUntilReady()])
  let added = 0
  await tally.repeat('jobs added', 20, async i => {
    await queue.add('work', { n: i }, { jobId: `n${i}`, delay: i % 3 === 0 ? 200 : 0, removeOnComplete: 100 })
    added = i
  })
  await until(() => done.size === added)
  tally.count('jobs done', done.size)
  tally.check('jobs done', done.size, added)
  tally.check('jobs done twice', [...done.values()].filter(n => n !== 1).length, 0)
  await sleep(0)
}
