"""channels-redis without scripts: the layer on publish and subscribe sends to channels and groups."""

import asyncio
import os

from channels_redis.pubsub import RedisPubSubChannelLayer


async def main():
    layer = RedisPubSubChannelLayer(hosts=[os.environ["REDIS_URL"]])
    first, second = await layer.new_channel(), await layer.new_channel()
    await layer.send(first, {"type": "greet", "n": 1})
    assert await asyncio.wait_for(layer.receive(first), 10) == {"type": "greet", "n": 1}
    for channel in (first, second):
        await layer.group_add("all", channel)
    await layer.group_send("all", {"type": "news"})
    for channel in (first, second):
        assert await asyncio.wait_for(layer.receive(channel), 10) == {"type": "news"}
    await layer.group_discard("all", second)
    await layer.group_send("all", {"type": "more"})
    assert await asyncio.wait_for(layer.receive(first), 10) == {"type": "more"}
    await layer.flush()


asyncio.run(main())
print("channels: delivered")
