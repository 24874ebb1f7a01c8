// node-redis: connect in both protocols, pipeline, subscribe, a transaction.
const assert = require("assert");
const { createClient } = require("redis");

(async () => {
  for (const RESP of [2, 3]) {
    const client = await createClient({ url: process.env.REDIS_URL, RESP }).connect();
    await client.flushAll();
    const piped = await Promise.all([client.set("k", "1"), client.incr("k"), client.get("k")]);
    assert.deepStrictEqual(piped, ["OK", 2, "2"]);
    await client.hSet("h", { a: "1", b: "2" });
    assert.deepStrictEqual({ ...(await client.hGetAll("h")) }, { a: "1", b: "2" });
    const subscriber = await client.duplicate().connect();
    const heard = new Promise((resolve) => subscriber.subscribe("news", (message) => resolve(message)));
    while ((await client.publish("news", "today")) === 0);
    assert.strictEqual(await heard, "today");
    assert.deepStrictEqual(await client.multi().incr("k").get("k").exec(), [3, "3"]);
    await subscriber.close();
    await client.close();
  }
  console.log("node-redis: passed");
  process.exit(0);
})();
