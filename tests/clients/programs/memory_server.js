// redis-memory-server with its system-binary setting: its launcher starts, reads the log of, and ends this server.
const assert = require("assert");
const fs = require("fs");
const os = require("os");
const path = require("path");
const { createClient } = require("redis");
const { RedisMemoryServer } = require("redis-memory-server");

const root = path.resolve(__dirname, "..", "..", "..");
const python = process.env.REDISELECT_PYTHON || "python3";
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "memory-server-"));
const systemBinary = path.join(folder, "redis-server");
fs.writeFileSync(systemBinary, `#!/bin/sh\nPYTHONPATH='${root}' exec '${python}' -m server "$@"\n`, { mode: 0o755 });

(async () => {
  const server = new RedisMemoryServer({ binary: { systemBinary } });
  const [host, port] = [await server.getHost(), await server.getPort()];
  const client = await createClient({ socket: { host, port } }).connect();
  await client.set("k", "v");
  assert.strictEqual(await client.get("k"), "v");
  assert.match(await client.info("server"), /executable:.*py/);
  await client.close();
  assert.strictEqual(await server.stop(), true);
  await assert.rejects(createClient({ socket: { host, port, reconnectStrategy: false } }).on("error", () => {}).connect());
  fs.rmSync(folder, { recursive: true });
  console.log("redis-memory-server: passed");
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
