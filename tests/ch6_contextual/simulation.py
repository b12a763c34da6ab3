"""What the tests of the context service share: simulated time, interactions, encoders."""

import asyncio
from dataclasses import dataclass, field

import numpy as np

from slubook.ch6_contextual import faults
from slubook.ch6_contextual.dynamo import connect
from slubook.ch6_contextual.events import Event, Kind
from slubook.ch6_contextual.items import rotate

KEYS = rotate({}, "k1")
START = 1_700_000_000.0


class SimulatedLoop(faults.SimulatedLoop):
    """An event loop in simulated time that knows when the tests begin."""

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
