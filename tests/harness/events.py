"""What subscribers to keyspace events hear of one command."""

from __future__ import annotations


def heard(server, wire, before: str, command: str) -> str:
    """Run `before` unheard, then `command`: its keyspace events in order, as "event key, event key"."""
    wire.ask("CONFIG", "SET", "notify-keyspace-events", "KEA")
    try:
        if before:
            wire.ask(*before.split())
        with server.wire() as listener:
            listener.ask("PSUBSCRIBE", "__keyevent@0__:*")
            wire.ask(*command.split())
            wire.ask("PUBLISH", "__keyevent@0__:end", "")
            found = []
            while True:
                _, _, channel, key = (content for _, content in listener.read()[1])
                event = channel.rpartition(b":")[2]
                if event == b"end":
                    return ", ".join(found)
                found.append((event + b" " + key).decode())
    finally:
        wire.ask("CONFIG", "SET", "notify-keyspace-events", "")
