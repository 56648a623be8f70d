"""Sends webhooks: each state of a job that its callback_url is to be told of.

Several masters of one database share the work; the outbox says who has which.
"""

from __future__ import annotations

import json
import random
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

import structlog

from ffmpeg_jobs import __version__, dialing
from ffmpeg_jobs.destination import NotAllowed, Policy
from ffmpeg_jobs.problems import Unavailable
from ffmpeg_master import signing
from ffmpeg_master.api import views
from ffmpeg_master.housekeeping import repeat
from ffmpeg_master.master import Master
from ffmpeg_master.model import Webhook
from ffmpeg_master.store import outbox
from ffmpeg_master.store.jobs import timestamp

log = structlog.get_logger()

#: Between two looks for what is due.
_LOOK_SECONDS: Final = 0.5
#: Sent at the same time: by all, of one tenant, of one key, to one host. Who never answers keeps
#: none of the others' places.
AT_ONCE: Final = 128
_OF_TENANT: Final = 64
_OF_KEY: Final = 16
_OF_HOST: Final = 8
#: For the connection, and for each step of the answer.
_STEP_SECONDS: Final = 5.0
#: For all of it, after which the connection is cut.
_DELIVERY_SECONDS: Final = 15.0
#: The wait before the second try; each further one is twice as long, up to the longest.
RETRY_SECONDS: Final = 5.0
_RETRY_MAX_SECONDS: Final = 7200.0
#: A wait is up to this part longer, so that a receiver that comes back is not overrun.
_JITTER: Final = 0.25
#: Nobody heard for this long: given up.
GIVE_UP_SECONDS: Final = 86400.0
_GONE: Final = 410


class NotDelivered(Exception):
    """Nobody took it; the message says why."""


class Gone(NotDelivered):
    """The receiver says that it wants no more."""


class Webhooks:
    """Sends what is due, until ``stop``."""

    def __init__(self, master: Master) -> None:
        """Raises ConfigError."""
        self._master = master
        file = master.config.secret_file
        self._secrets = () if file is None else signing.read_secrets(file)
        self._sending: dict[threading.Thread, Webhook] = {}
        self._stopped = threading.Event()
        work = (self._stopped, _LOOK_SECONDS, self.round)
        self._thread = threading.Thread(target=repeat, args=work, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin, if there is a secret to sign with."""
        if self._secrets:
            self._thread.start()

    def stop(self) -> None:
        """Begin no new ones. What is cut on its way is sent again when its lease has ended."""
        self._stopped.set()

    def round(self) -> None:
        """Send what is due now, as far as there is room."""
        self._sending = {thread: w for thread, w in self._sending.items() if thread.is_alive()}
        room = _Room(self._sending.values())
        for webhook in outbox.take(self._master.store, room.left, room.takes) if room.left else ():
            sending = threading.Thread(target=self._deliver, args=(webhook,), daemon=True)
            sending.start()
            self._sending[sending] = webhook

    def wait(self) -> None:
        """Until all that was begun has ended."""
        for sending in self._sending:
            sending.join()

    def _deliver(self, webhook: Webhook) -> None:
        try:
            self._try(webhook)
        except Unavailable as problem:  # it is taken again
            log.warning("webhook_unsettled", id=webhook.id, detail=problem.detail)

    def _try(self, webhook: Webhook) -> None:
        store = self._master.store
        body = _body(webhook)
        moment = int(store.now())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"ffmpeg-master/{__version__}",
            "webhook-id": webhook.id,
            "webhook-timestamp": str(moment),
            "webhook-signature": signing.sign(self._secrets, webhook.id, moment, body),
        }
        url = webhook.status.job.callback_url or ""
        try:
            post(url, headers, body, self._master.config.webhook_policy)
        except NotDelivered as error:
            self._put_off(webhook, error)
        else:
            outbox.delivered(store, webhook)
            log.info("webhook_delivered", job=webhook.status.id, type=webhook.type, id=webhook.id)

    def _put_off(self, webhook: Webhook, error: NotDelivered) -> None:
        now = self._master.store.now()
        wait = min(RETRY_SECONDS * 2.0 ** (webhook.tries - 1), _RETRY_MAX_SECONDS)
        due_at = now + wait * (1 + _JITTER * random.random())  # noqa: S311 - spreads tries
        told = {"job": webhook.status.id, "type": webhook.type, "id": webhook.id}
        if isinstance(error, Gone) or due_at > webhook.made_at_seconds + GIVE_UP_SECONDS:
            outbox.failed(self._master.store, webhook, str(error), None)
            log.warning("webhook_given_up", **told, tries=webhook.tries, error=str(error))
        else:
            outbox.failed(self._master.store, webhook, str(error), due_at)
            log.info("webhook_put_off", **told, tries=webhook.tries, error=str(error))


class _Room:
    """Who has how many of the places."""

    def __init__(self, sent: Iterable[Webhook]) -> None:
        self._taken: Counter[tuple[str, ...]] = Counter()
        for webhook in sent:
            self._taken.update(list(_shares(webhook)))

    @property
    def left(self) -> int:
        """Places that nobody has."""
        return AT_ONCE - self._taken[()]

    def takes(self, webhook: Webhook) -> bool:
        """Whether there is a place for it, which it has then."""
        shares = _shares(webhook)
        if any(self._taken[share] >= most for share, most in shares.items()):
            return False
        self._taken.update(list(shares))
        return True


def _shares(webhook: Webhook) -> dict[tuple[str, ...], int]:
    """Those in which it has a place, and how many places each has."""
    return {
        (): AT_ONCE,
        ("tenant", webhook.tenant): _OF_TENANT,
        ("key", webhook.tenant, webhook.key): _OF_KEY,
        ("host", webhook.tenant, webhook.host): _OF_HOST,
    }


def _body(webhook: Webhook) -> bytes:
    body = {
        "type": webhook.type,
        "timestamp": timestamp(webhook.made_at_seconds),
        "data": views.show(webhook.status),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def post(url: str, headers: dict[str, str], body: bytes, policy: Policy) -> None:
    """Send ``body`` to the very address that was checked. Raises NotDelivered.

    No proxy is asked and no redirect followed: both would lead elsewhere.
    """
    parts = urlsplit(url)
    encrypted, host = parts.scheme == "https", parts.hostname or ""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = (HTTPSConnection if encrypted else HTTPConnection)(host, parts.port)
    cut = threading.Timer(_DELIVERY_SECONDS, _cut, [connection])
    try:
        with closing(connection):
            connection.sock = dialing.connect(host, connection.port, policy, _STEP_SECONDS)
            cut.start()
            if encrypted:
                context = ssl.create_default_context()
                connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
            connection.request("POST", target, body, headers)
            with closing(connection.getresponse()) as answer:
                status = answer.status
    except (OSError, HTTPException, ValueError, NotAllowed) as error:
        raise NotDelivered(_words(error)) from None
    finally:
        cut.cancel()
    if status == _GONE:
        raise Gone(f"the receiver answers {status}: it wants no more")
    if not 200 <= status < 300:
        raise NotDelivered(f"the receiver answers {status}")


def _cut(connection: HTTPConnection) -> None:
    sock = connection.sock
    with suppress(OSError):
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


def _words(error: Exception) -> str:
    return f"{getattr(error, 'strerror', None) or error or type(error).__name__}"
