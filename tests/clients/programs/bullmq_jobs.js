// BullMQ: a thousand jobs with delays, retries and priorities, then a flow of a parent and its children.
const assert = require("assert");
const { Queue, Worker, FlowProducer } = require("bullmq");

const JOBS = 1000;
const FAILING = 20; // one job in so many fails twice before it succeeds
const address = new URL(process.env.REDIS_URL);
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null };

(async () => {
  const queue = new Queue("jobs", { connection });
  const jobs = [];
  for (let number = 0; number < JOBS; number++) {
    const opts = { attempts: 3, backoff: { type: "fixed", delay: 20 } };
    if (number % 10 === 0) opts.delay = 50;
    if (number % 5 === 0) opts.priority = 1 + (number % 7);
    jobs.push({ name: "job", data: { number }, opts });
  }
  await queue.addBulk(jobs);
  const tries = new Map();
  const worker = new Worker("jobs", async (job) => {
    const count = (tries.get(job.data.number) || 0) + 1;
    tries.set(job.data.number, count);
    if (job.data.number % FAILING === 3 && count < 3) throw new Error("again");
    return job.data.number;
  }, { connection, concurrency: 20 });
  let done = 0;
  await new Promise((resolve) => worker.on("completed", () => { if (++done === JOBS) resolve(); }));
  assert.strictEqual([...tries.values()].reduce((a, b) => a + b), JOBS + 2 * (JOBS / FAILING));
  assert.strictEqual((await queue.getJobCounts()).completed, JOBS);

  const order = [];
  const worked = new Worker("flow", async (job) => {
    order.push(job.name);
    return Object.values(await job.getChildrenValues()).length;
  }, { connection });
  const finished = new Promise((resolve) => worked.on("completed", (job, value) => {
    if (job.name === "parent") resolve(value);
  }));
  const flow = new FlowProducer({ connection });
  await flow.add({ name: "parent", queueName: "flow", children: [
    { name: "first", queueName: "flow" }, { name: "second", queueName: "flow", opts: { delay: 30 } },
  ] });
  assert.strictEqual(await finished, 2);
  assert.deepStrictEqual(order, ["first", "second", "parent"]);
  console.log("bullmq: all jobs and the flow");
  process.exit(0);
})();
