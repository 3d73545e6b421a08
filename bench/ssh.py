"""SSH against a real OpenSSH server, beside a plain asyncssh loop: a connection for every poll."""

import asyncio
import logging
import time

import asyncssh

from bench.measure import Report
from bench.plugin import ON_HOSTS_CORE, Cost, PluginBench, on_plugin_core
from plugins.contract import Task
from plugins.lab.ssh_server import PORT, USER, Server
from plugins.ssh.connection import script

TARGETS = 100  # connections to one server
ROUNDS = 5
NAIVE_POLLS = 60


def run() -> Report:
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    polls = TARGETS * ROUNDS
    report = Report("ssh", f"key login, {TARGETS} kept connections, {polls} polls; plugin on one core")
    with Server("127.34.0.1", prefix=ON_HOSTS_CORE) as server, on_plugin_core():
        fresh = asyncio.run(_loop(server, is_kept=False))
        kept = asyncio.run(_loop(server, is_kept=True))
        secret = {"username": USER, "private_key": server.key, "host_key_policy": "trust_on_first_use"}
        tasks = [
            Task(str(number), server.address, PORT, {**secret, "passphrase": str(number)}, 60)
            for number in range(TARGETS)
        ]
        bench = PluginBench("ssh", in_flight=TARGETS)
        bench.round(tasks)  # logins, first readings
        cost = bench.measure(tasks, rounds=ROUNDS)
        bench.runner.close()
    report.add("CPU a poll beside asyncssh with a connection each", cost.cpu / fresh.cpu, "ratio", at_most=1)
    report.add("CPU a poll beside asyncssh on a kept connection", cost.cpu / kept.cpu, "ratio")
    report.add(
        "polls a second beside asyncssh with a connection each", fresh.wall / cost.wall, "ratio", at_least=1
    )
    report.add("plugin CPU a poll", cost.cpu * 1e3, "ms")
    report.add("polls a second", 1 / cost.wall, "1/s")
    report.add("plugin memory", cost.mib, "MiB")
    report.add("asyncssh with a connection each, CPU a poll", fresh.cpu * 1e3, "ms")
    report.add("asyncssh on a kept connection, CPU a poll", kept.cpu * 1e3, "ms")
    return report


async def _loop(server: Server, *, is_kept: bool) -> Cost:
    """One host after the other, as one would write it first."""

    async def connect() -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(
            server.address,
            PORT,
            username=USER,
            client_keys=[asyncssh.import_private_key(server.key)],
            known_hosts=None,
        )

    connection = await connect()
    started, before = time.perf_counter(), time.process_time()
    for _ in range(NAIVE_POLLS):
        if not is_kept:
            connection.close()
            await connection.wait_closed()
            connection = await connect()
        answer = await connection.run("sh", input=script().decode())
        assert answer.exit_status == 0
    wall, cpu = time.perf_counter() - started, time.process_time() - before
    connection.close()
    await connection.wait_closed()
    return Cost(wall / NAIVE_POLLS, cpu / NAIVE_POLLS, 0)
