"""Stores of both kinds, in simulated time."""

import logging

import pytest
from simulation import KEYS, SimulatedLoop, dynamo_client

from slubook.ch6_contextual.dynamo import DynamoStore
from slubook.ch6_contextual.items import Sealer
from slubook.ch6_contextual.store import SQLiteStore


@pytest.fixture
def loop():
    made = SimulatedLoop()
    yield made
    made.close()


@pytest.fixture
def run(loop):
    """Runs a coroutine in simulated time."""
    return loop.run_until_complete


@pytest.fixture(scope="session")
def dynamo_address():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["sqlite", "dynamo"])
def store(request, run, tmp_path):
    """A new store of each kind, behind the same protocol."""
    if request.param == "sqlite":
        made = SQLiteStore(tmp_path / "context.db", synchronous="NORMAL", busy_s=0)
    else:
        made = DynamoStore(dynamo_client(request.getfixturevalue("dynamo_address")))
        run(made.create())
    yield made
    if request.param == "dynamo":
        for table in (made.interactions, made.table):
            made.client.delete_table(TableName=table)
    run(made.close())


@pytest.fixture
def sqlite_store(run, tmp_path):
    made = SQLiteStore(tmp_path / "context.db", synchronous="NORMAL", busy_s=0)
    yield made
    run(made.close())


@pytest.fixture
def sealer():
    return Sealer(KEYS)
