// ioredis: connect, pipeline, subscribe, a transaction.
const assert = require("assert");
const Redis = require("ioredis");

(async () => {
  const redis = new Redis(process.env.REDIS_URL);
  const piped = await redis.pipeline().set("k", "1").incr("k").hset("h", { a: 1, b: 2 }).hgetall("h").exec();
  assert.deepStrictEqual(piped.map(([error, value]) => [error, value]), [
    [null, "OK"], [null, 2], [null, 2], [null, { a: "1", b: "2" }],
  ]);
  const subscriber = redis.duplicate();
  const heard = new Promise((resolve) => subscriber.on("message", (channel, message) => resolve([channel, message])));
  assert.strictEqual(await subscriber.subscribe("news"), 1);
  assert.strictEqual(await redis.publish("news", "today"), 1);
  assert.deepStrictEqual(await heard, ["news", "today"]);
  const done = await redis.multi().incr("k").get("k").exec();
  assert.deepStrictEqual(done, [[null, 3], [null, "3"]]);
  await redis.watch("k");
  await subscriber.duplicate().set("k", "9");
  assert.strictEqual(await redis.multi().incr("k").exec(), null);
  console.log("ioredis: passed");
  process.exit(0);
})();
