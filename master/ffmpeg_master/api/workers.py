"""Register workers, hear their heartbeats, list them."""

from __future__ import annotations

from typing import Final

import structlog

from ffmpeg_jobs.model import Heartbeat, HeartbeatAnswer, HeartbeatOrder, Machine
from ffmpeg_jobs.schema import from_json
from ffmpeg_master.api.call import Answer, Call
from ffmpeg_master.master import Master
from ffmpeg_master.store import giveback, queue, word, workers

log = structlog.get_logger()

#: Heartbeats of workers that have nothing to tell but that they are there.
_IDLE_HEARD_A_SECOND: Final = 50


def register(call: Call) -> Answer:
    """PUT /workers/{name}"""
    master, name = call.master, call.path["name"]
    machine = from_json(Machine, call.body)
    workers.register(master.store, name, machine, call.key)
    master.wakeup.dismiss(name)
    log.info("worker_registered", worker=name, by=call.by, version=machine.version)
    return Answer(body=_answer(master, word.Word(word.asked(master.store, name))))


def heartbeat(call: Call) -> Answer:
    """POST /workers/{name}/heartbeat"""
    master, name = call.master, call.path["name"]
    told = from_json(Heartbeat, call.body)
    # One transaction for what most requests are. What an idle worker says is soon said again.
    with master.store.write(durable=bool(told.running)):
        serves = None if call.key is None else call.key.grant.serves
        lease_seconds = master.config.lease_seconds
        heard = queue.heartbeat(master.store, name, told, lease_seconds, serves)
        reported = {(report.job_id, report.attempt) for report in told.running}
        unheard = told.claim_serial is not None and giveback.any_unheard(
            master.store, name, told.claim_serial, reported
        )
    if unheard:
        _take_back_unheard(master, name, told.claim_serial or 0, reported)
    if heard.word.lifted:
        master.wakeup.wake_worker(name)
    elif (told.draining or told.recall) and heard.word.newer is None:
        master.wakeup.dismiss(name)
    return Answer(body=_answer(master, heard.word, heard.orders))


def cordon(call: Call) -> Answer:
    """POST /workers/{name}/cordon"""
    return _set_cordoned(call, True)


def uncordon(call: Call) -> Answer:
    """POST /workers/{name}/uncordon"""
    return _set_cordoned(call, False)


def _set_cordoned(call: Call, cordoned: bool) -> Answer:
    name = call.path["name"]
    workers.set_cordoned(call.master.store, name, cordoned, call.act)
    log.info("worker_cordon_changed", worker=name, by=call.by, cordoned=cordoned)
    if not cordoned:
        call.master.wakeup.wake_worker(name)
    return Answer(204)


def drain(call: Call) -> Answer:
    """POST /workers/{name}/drain"""
    name, timeout_seconds = call.path["name"], call.body.get("timeout_seconds")
    workers.drain(call.master.store, name, timeout_seconds, call.act)
    log.info("worker_drained", worker=name, by=call.by, timeout_seconds=timeout_seconds)
    return Answer(204)


def undrain(call: Call) -> Answer:
    """POST /workers/{name}/undrain"""
    name = call.path["name"]
    workers.undrain(call.master.store, name, call.act)
    log.info("worker_undrained", worker=name, by=call.by)
    call.master.wakeup.wake_worker(name)
    return Answer(204)


def remove(call: Call) -> Answer:
    """DELETE /workers/{name}"""
    name = call.path["name"]
    workers.remove(call.master.store, name, call.master.config.lease_seconds, call.act)
    log.info("worker_removed", worker=name, by=call.by)
    return Answer(204)


def _take_back_unheard(
    master: Master, name: str, serial: int, reported: set[tuple[str, int]]
) -> None:
    """Answers to claims get lost on their way; their jobs need not wait for the lease.

    In a transaction of its own: who locks several jobs does it once, by their ids.
    """
    lost = giveback.unheard(master.store, name, serial, reported, master.config.retry_seconds)
    for status in lost:
        log.warning("claim_unheard", job=status.id, attempt=status.attempt, worker=name)
    master.given_back(lost, name)


def _answer(
    master: Master, heard: word.Word, orders: tuple[HeartbeatOrder, ...] = ()
) -> HeartbeatAnswer:
    config, asked = master.config, heard.asked
    # Who is drained holds no claim: its heartbeat is where it hears that it may go on.
    soon = orders or asked.drain
    seconds = config.heartbeat_seconds if soon else _idle_seconds(master)
    return HeartbeatAnswer(
        orders, config.lease_seconds, seconds, asked.drain, asked.drain_seconds, heard.newer
    )


def _idle_seconds(master: Master) -> float:
    """Where very many wait, each is heard more seldom, and early enough to try again."""
    config = master.config
    spread = min(len(master.wakeup) / _IDLE_HEARD_A_SECOND, config.lease_seconds * 0.75)
    return max(config.idle_heartbeat_seconds, spread)


def show_all(call: Call) -> Answer:
    """GET /workers"""
    shown = workers.show_all(call.master.store, call.master.config.lease_seconds, call.sees)
    return Answer(body=shown)
