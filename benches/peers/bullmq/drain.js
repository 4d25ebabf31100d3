// BullMQ: a backlog enqueued in bulk, then drained by workers in processes of their own.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Queue, Worker } from 'bullmq';
import { createClient } from 'redis';

const QUEUE = 'bench';

const { values } = parseArgs({
  options: Object.fromEntries(
    ['url', 'jobs', 'payload', 'concurrency', 'batch', 'processes'].map((name) => [name, { type: 'string' }]),
  ),
});
const number = (name, best) => Number(values[name] ?? best);

// A job leaves nothing behind, as in the other stores.
const KEEP_NOTHING = { removeOnComplete: true };

// Of the clients that it can use, the fastest here.
async function connect() {
  const client = createClient({ url: values.url });
  await client.connect();
  return client;
}

async function enqueue(queue, jobs) {
  const data = 'x'.repeat(number('payload', 100));
  const batch = number('batch', 1000);
  const began = performance.now();
  for (let left = jobs; left > 0; left -= batch) {
    const now = Math.min(left, batch);
    await queue.addBulk(Array.from({ length: now }, () => ({ name: 'noop', data: { data }, opts: KEEP_NOTHING })));
  }
  return performance.now() - began;
}

// The workers have loaded and connected before the clock starts; they begin to fetch after it.
async function drain(queue) {
  const processes = number('processes', 1);
  const concurrency = Math.ceil(number('concurrency', 256) / processes);
  const workers = Array.from({ length: processes }, () =>
    fork(import.meta.filename, process.argv.slice(2), { env: { ...process.env, PEER_WORKER: String(concurrency) } }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const began = performance.now();
  for (const worker of workers) worker.send('run');
  for (;;) {
    const { active, waiting } = await queue.getJobCounts('active', 'waiting');
    if (active + waiting === 0) break;
    await sleep(5);
  }
  const took = performance.now() - began;
  for (const worker of workers) worker.kill();
  return took;
}

async function work() {
  const worker = new Worker(QUEUE, async (job) => job.data.data.length, {
    connection: await connect(),
    autorun: false,
    concurrency: Number(process.env.PEER_WORKER),
  });
  await worker.waitUntilReady();
  process.on('message', () => worker.run());
  process.send('ready');
}

async function main() {
  const jobs = number('jobs');
  const queue = new Queue(QUEUE, { connection: await connect() });
  await queue.waitUntilReady();
  const perSecond = (took) => Math.round((jobs * 1000) / took);
  const enqueued = await enqueue(queue, jobs);
  const drained = await drain(queue);
  const { version } = JSON.parse(readFileSync(new URL('node_modules/bullmq/package.json', import.meta.url)));
  console.log(
    JSON.stringify({
      peer: 'bullmq',
      version,
      jobs,
      enqueue_per_s: perSecond(enqueued),
      drain_per_s: perSecond(drained),
    }),
  );
  process.exit(0);
}

await (process.env.PEER_WORKER ? work() : main());
