"""The two tables in DynamoDB, or in any server of its protocol.

Deleting is left to DynamoDB: it removes rows some time after their attribute ``expires`` has passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from slubook.ch6_contextual.events import Interaction
from slubook.ch6_contextual.items import Item
from slubook.ch6_contextual.store import ContextStoreError

_BATCH, _READ = 25, 100  # rows that one call may delete, and read


def connect(timeout_s: float = 0.5, **options: Any) -> Any:
    """Makes a client, by options of ``boto3.resource``, that fails early: a context that is late is no context."""
    config = Config(connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1})
    return boto3.resource("dynamodb", config=config, **options).meta.client  # which takes and gives Python's types


class DynamoStore:
    """Both tables in DynamoDB. ``append`` is one ``UpdateItem`` that returns ``ALL_NEW``."""

    def __init__(self, client: Any) -> None:
        """Takes what :func:`connect` makes."""
        self.client = client
        self.interactions, self.table = "slubook-interactions", "slubook-items"

    async def create(self) -> None:
        """Makes both tables, paid by the request, whose rows are deleted after ``expires``."""
        key = {"interaction": "HASH"}
        for table, keys in ((self.interactions, key), (self.table, key | {"name": "RANGE"})):
            schema = [{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()]
            types = [{"AttributeName": key, "AttributeType": "S"} for key in keys]
            request = {"KeySchema": schema, "AttributeDefinitions": types, "BillingMode": "PAY_PER_REQUEST"}
            await self._call("create_table", TableName=table, **request)
            await asyncio.to_thread(self.client.get_waiter("table_exists").wait, TableName=table)
            expiry = {"Enabled": True, "AttributeName": "expires"}
            await self._call("update_time_to_live", TableName=table, TimeToLiveSpecification=expiry)

    async def append(self, interaction: str, event: str, expires: int, item: Item | None = None) -> Interaction:
        """Puts the item, then adds the event to the entry and returns the entry from the same call."""
        if item:
            await self.put(item)
        answer = await self._call(
            "update_item",
            TableName=self.interactions,
            Key={"interaction": interaction},
            UpdateExpression="ADD events :event SET expires = if_not_exists(expires, :expires)",
            ExpressionAttributeValues={":event": {event}, ":expires": expires},
            ReturnValues="ALL_NEW",
        )
        return _entry(answer["Attributes"])

    async def entry(self, interaction: str, consistent: bool = True) -> Interaction | None:
        """Returns an entry; without ``consistent`` it may lag behind."""
        request = {"TableName": self.interactions, "Key": {"interaction": interaction}}
        answer = await self._call("get_item", ConsistentRead=consistent, **request)
        return _entry(answer["Item"]) if "Item" in answer else None

    async def put(self, item: Item, replaces: bytes | None = None) -> bool:
        """Writes an item once, or in place of another."""
        condition = {"ConditionExpression": "attribute_not_exists(interaction)"}
        if replaces is not None:
            condition = {"ConditionExpression": "nonce = :old", "ExpressionAttributeValues": {":old": replaces}}
        return await self._call("put_item", TableName=self.table, Item=asdict(item), **condition) is not None

    async def items(self, interaction: str, names: Sequence[str]) -> list[Item]:
        """Returns the items of some names that are there."""
        keys, rows = [{"interaction": interaction, "name": name} for name in names], []
        for start in range(0, len(keys), _READ):
            asked = {"Keys": keys[start : start + _READ], "ConsistentRead": True}
            answer = await self._call("batch_get_item", RequestItems={self.table: asked})
            if answer.get("UnprocessedKeys"):
                raise ContextStoreError("DynamoDB left some items out: too much is asked of it")
            rows += answer["Responses"][self.table]
        types = {"expires": int, "nonce": bytes, "sealed": bytes}
        return [Item(**row | {name: of(row[name]) for name, of in types.items()}) for row in rows]

    async def discard(self, interaction: str, names: Sequence[str]) -> None:
        """Deletes items; what DynamoDB leaves undone is asked for once more."""
        deletes = [{"DeleteRequest": {"Key": {"interaction": interaction, "name": name}}} for name in names]
        for start in range(0, len(deletes), _BATCH):
            left = {self.table: deletes[start : start + _BATCH]}
            for _ in range(2):
                if left:
                    left = (await self._call("batch_write_item", RequestItems=left)).get("UnprocessedItems")
            if left:
                raise ContextStoreError("DynamoDB left some items undeleted: too much is asked of it")

    async def sweep(self, now: float, scrub: bool = False) -> None:
        """Deletes nothing: DynamoDB does, by itself, within days."""

    async def close(self) -> None:
        """Closes the client's connections."""
        self.client.close()

    async def _call(self, operation: str, **request: Any) -> dict | None:
        """Awaits one call; the answer is ``None`` where the condition of a write does not hold."""
        try:
            return await asyncio.to_thread(getattr(self.client, operation), **request)
        except self.client.exceptions.ConditionalCheckFailedException:
            return None
        except (BotoCoreError, ClientError) as error:
            raise ContextStoreError(f"{operation}: {error}") from error


def _entry(row: dict) -> Interaction:
    return Interaction(row["interaction"], frozenset(row["events"]), int(row["expires"]))
