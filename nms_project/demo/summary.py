"""What the demo must have shown, judged from the API's devices and the verdict ledger. Pure but for one
query.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from nms_project.demo.fleet import DYING, FAULTY, INTERVAL_SECONDS, PING_HOSTS, WINDOWS_HOSTS

# A slot is missing where two verdicts of a device lie further apart than its interval. Its first grid slot
# may come up to one and a half intervals after it was provisioned.
LEDGER = """
SELECT device_id, count(*), array_agg(kind), (array_agg(rtt_ms ORDER BY due_at DESC))[1],
       count(*) FILTER (WHERE gap > %(interval)s * interval '1.51 second'),
       count(*) FILTER (WHERE gap < %(interval)s * interval '0.49 second')
FROM (
    SELECT *, due_at - lag(due_at) OVER (PARTITION BY device_id ORDER BY due_at) AS gap
    FROM polling_verdict WHERE due_at >= %(since)s
) AS verdict
GROUP BY device_id
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """One device's verdicts since the demo began."""

    verdicts: int
    kinds: Counter[str]
    rtt_ms: float | None
    missing: int  # slots without a verdict
    doubled: int  # verdicts closer together than slots are


@dataclass(slots=True)
class Summary:
    healthy_windows: int = 0
    healthy_ping: int = 0
    verdicts: int = 0
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def ledger_read(database_url: str, since: datetime) -> dict[int, Ledger]:
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        rows = connection.execute(LEDGER, {"since": since, "interval": INTERVAL_SECONDS}).fetchall()
    return {row[0]: Ledger(row[1], Counter(row[2]), row[3], row[4], row[5]) for row in rows}


def summarise(devices: Sequence[dict[str, Any]], ledgers: dict[int, Ledger]) -> Summary:
    """`problems` is empty when everything is as it must be."""
    summary = Summary()
    by_address = {(device["ip_address"], device["plugin_id"]): device for device in devices}
    for device in devices:
        ledger = ledgers.get(device["id"])
        if ledger is None:
            continue
        summary.verdicts += ledger.verdicts
        if ledger.missing or ledger.doubled:
            summary.problems.append(
                f"{device['ip_address']}: {ledger.missing} slots without a verdict, {ledger.doubled} doubled"
            )
        is_healthy = device["status"] == "active" and ledger.kinds["ok"] >= 2
        if is_healthy and device["ip_address"] not in (*FAULTY, *DYING):
            is_ping = device["plugin_id"] == "icmp"
            summary.healthy_ping += is_ping
            summary.healthy_windows += not is_ping
    _check_counts(summary)
    _check_faulty(summary, by_address, ledgers)
    _check_dead(summary, by_address)
    return summary


def availability_check(
    summary: Summary, *, dead: Sequence[dict[str, Any]], hours: Sequence[dict[str, Any]]
) -> None:
    """Add to `summary` whether the hosts that died pull the availability of all devices down.

    `dead` and `hours` are the API's: the availability of these hosts, read first, and of all by hours.
    """
    outage = sum(one["outage_seconds"] for one in dead)
    total = sum(hour["monitored_seconds"] or 0 for hour in hours)
    lost = sum(hour["outage_seconds"] or 0 for hour in hours)
    percent = f"{100 * (1 - lost / total):.2f} %" if total else "not known"
    summary.lines.append(
        f"availability of all devices: {percent}; the hosts that died were down for {outage:.0f} s together"
    )
    for one in dead:
        if abs(one["outage_seconds"] - sum(outage["seconds"] for outage in one["outages"])) > 1e-6:
            summary.problems.append(f"device {one['device_id']}: availability and outages disagree")
    if not all(one["outages"] for one in dead) or not 0 < outage <= lost:
        summary.problems.append("the hosts that died do not pull the availability of all devices down yet")


def _check_counts(summary: Summary) -> None:
    wanted = WINDOWS_HOSTS - len(FAULTY) - len(DYING)
    summary.lines.append(f"{summary.healthy_windows} of {wanted} Windows hosts active with two or more ok")
    summary.lines.append(f"{summary.healthy_ping} of {PING_HOSTS} ping-only hosts active with two or more ok")
    summary.lines.append(f"{summary.verdicts} verdicts, one for each slot")
    if summary.healthy_windows != wanted:
        summary.problems.append(
            f"{wanted - summary.healthy_windows} healthy Windows hosts lack two ok verdicts"
        )
    if summary.healthy_ping != PING_HOSTS:
        summary.problems.append(f"{PING_HOSTS - summary.healthy_ping} ping-only hosts lack two ok verdicts")


def _check_faulty(
    summary: Summary, devices: dict[tuple[str, str], dict[str, Any]], ledgers: dict[int, Ledger]
) -> None:
    for address, trouble in FAULTY.items():
        device = devices.get((address, "winrm"))
        ledger = ledgers.get(device["id"]) if device else None
        if ledger is not None and ledger.kinds[trouble.verdict]:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(ledger.kinds.items()))
            summary.lines.append(f"{address} ({trouble.fault}): {kinds}")
        else:
            summary.problems.append(f"{address} ({trouble.fault}) has no {trouble.verdict} verdict yet")


def _check_dead(summary: Summary, devices: dict[tuple[str, str], dict[str, Any]]) -> None:
    for address in DYING:
        device = devices.get((address, "winrm"))
        if device and device["status"] == "inactive" and device["status_reason"]:
            since = device["status_since"]
            summary.lines.append(f"{address} (died): inactive since {since}: {device['status_reason']}")
        else:
            summary.problems.append(f"{address} died and is not deactivated yet")
