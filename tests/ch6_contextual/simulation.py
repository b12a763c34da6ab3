"""What the tests of the context service share: simulated time, interactions, encoders."""

import asyncio
import selectors
from dataclasses import dataclass, field

import numpy as np

from slubook.ch6_contextual.dynamo import connect
from slubook.ch6_contextual.events import Event, Kind
from slubook.ch6_contextual.items import rotate

KEYS = rotate({}, "k1")
START = 1_700_000_000.0


class _NoWaiting(selectors.DefaultSelector):
    """Lets simulated time pass instead of waiting for it."""

    def __init__(self):
        super().__init__()
        self.time = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "everything waits for something that never happens"
        self.time += timeout
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing is left to do: no test depends on how fast the machine is."""

    def __init__(self):
        self.selector = _NoWaiting()
        super().__init__(self.selector)

    def time(self):
        return self.selector.time

    def run_in_executor(self, executor, call, *arguments):
        """Runs a blocking call at once, so that no thread is needed."""
        done = self.create_future()
        try:
            done.set_result(call(*arguments))
        except Exception as error:
            done.set_exception(error)
        return done

    def clock(self):
        """Seconds since 1970."""
        return START + self.time()


def dynamo_client(address, **options):
    """A client that waits as long as a busy machine needs."""
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-west-1"}
    return connect(**{"timeout_s": 600, "endpoint_url": address, **keys, **options})


def told(interaction="turn-1", started=START, seconds=2.0, follow_up=True, context=b"Meg Jones; Meg Bauer"):
    """The events of one interaction, in order."""
    events = [
        Event(interaction, Kind.UTTERANCE, "1", started, b"call Meg"),
        Event(interaction, Kind.CONTEXT, "1", started, context),
        Event(interaction, Kind.REPLY, "1", started, b"do you mean Meg Jones or Meg Bauer?", started + seconds),
    ]
    if follow_up:
        events.append(Event(interaction, Kind.EXPECT_SPEECH, "1", started))
    return [*events, Event(interaction, Kind.END, "1", started)]


def embed(payloads):
    """What the encoders of these tests make of items: a vector that differs for different items."""
    text = b"|".join(payloads[name] for name in sorted(payloads))
    return np.array([len(payloads), len(text), sum(text) % 9973], dtype=np.float32)


@dataclass
class Encoder:
    """An encoder that takes a while, does not end, or fails."""

    seconds: float = 0.0
    error: Exception | None = None
    finished: list[float] = field(default_factory=list)

    async def __call__(self, payloads):
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        self.finished.append(asyncio.get_running_loop().time())
        return embed(payloads)
