"""What each command does, `run` and `demo` aside: asks the service, and writes what came of it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import signal
import sys
import threading
import time
from typing import Any

from ..client import AppIdClient
from ..config import TOKEN_VARIABLE, Settings, check_url
from ..errors import ConfigurationError, ProductNotFound, ProtocolError, TransportError
from ..events import EventHook
from ..journal.reaping import Reaped
from ..runtime.time import SystemTime
from ..wire.api import ServiceApi
from ..wire.clock import ServerClock
from ..wire.models import Acquisition
from ..wire.transport import Transport
from .appids_file import read_appids
from .exits import ExitCode, UsageError
from .output import Countdown, complain, duration, moment, printable, say, say_json, table

logger = logging.getLogger("appid_manager_client")

_FOREVER = 10 * 365 * 86400.0
"""Seconds. An acquire that has a deadline, however late, is carried to its end by a helper thread: Ctrl-C then loses
nothing that its answer brings."""

_STATES = {"available": "free", "released": "free", "in_use": "in use"}
_CLEAR = "\x1b[H\x1b[2J"


def make_client(arguments: argparse.Namespace, on_event: EventHook | None = None) -> AppIdClient:
    """The client that the global options and the environment ask for."""
    url = None if arguments.url is None else check_url(arguments.url, "--url")
    return AppIdClient(url, arguments.timeout, auth_token=arguments.token, on_event=on_event)


def open_api(arguments: argparse.Namespace) -> ServiceApi:
    """The bare calls of the service, for what the client doesn't offer."""
    url = None if arguments.url is None else check_url(arguments.url, "--url")
    settings = Settings.resolve(url, arguments.timeout, arguments.token)
    system = SystemTime()
    return ServiceApi(Transport(settings, system), ServerClock(system))


def health(arguments: argparse.Namespace) -> int:
    """Say whether the service is well, and how its clock stands."""
    api = open_api(arguments)
    found = api.health()
    offset = api.clock.now() - time.time()
    if arguments.json:
        say_json(
            {
                "status": "healthy",
                "url": api.base_url,
                "serverTime": found.server_time_ms,
                "hourStart": found.hour_start_ms,
                "hourEnd": found.hour_end_ms,
                "clockOffset": round(offset, 3),
                "extended": bool(api.extended),
            }
        )
        return ExitCode.OK
    say(f"{api.base_url} is healthy")
    say(f"its clock   {moment(found.server_time_ms / 1000)} ({offset:+.3f} s from this machine's)")
    if found.hour_end_ms is not None:
        left = api.clock.seconds_until(found.hour_end_ms / 1000)
        say(
            f"its hour    ends at {moment(found.hour_end_ms / 1000, date=False)}, in {duration(left)}"
        )
    say(f"extensions  {'yes' if api.extended else 'no: a service of the field'}")
    return ExitCode.OK


def status(arguments: argparse.Namespace) -> int:
    """Show the AppIDs, once or again and again."""
    with make_client(arguments) as client:
        if arguments.watch is None:
            _show_status(client, arguments)
            return ExitCode.OK
        never = threading.Event()
        while True:
            try:
                _show_status(
                    client, arguments, clear=sys.stdout is not None and sys.stdout.isatty()
                )
            except TransportError as error:
                complain(error)
            never.wait(arguments.watch)


def _show_status(
    client: AppIdClient, arguments: argparse.Namespace, *, clear: bool = False
) -> None:
    product = arguments.product
    body = client.get_status(product)
    entries = body.get("appids")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ProtocolError(
            f"{client.base_url} sent a status without a list of AppIDs", service=client.base_url
        )
    if product is not None and not entries:
        raise ProductNotFound(
            f"{client.base_url} knows no product {product!r}: check the name, or run init first",
            service=client.base_url,
            product_name=product,
        )
    if arguments.json:
        say_json(body)
        return
    text = _status_text(entries)
    say(f"{_CLEAR}{client.base_url}  {moment(time.time())}\n\n{text}" if clear else text)


def _status_text(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return "no AppIDs: no product was initialised yet"
    products: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        products.setdefault(str(entry.get("productName")), []).append(entry)
    return "\n\n".join(_product_text(name, mine) for name, mine in products.items())


def _product_text(product: str, entries: list[dict[str, Any]]) -> str:
    states = [_state(entry) for entry in entries]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("free", "in use", "used this hour")
    )
    with_holder = any(entry.get("holder") for entry in entries)
    headings = [
        "APPID",
        "VID",
        "STATE",
        "ACQUIRED",
        "RELEASED",
        *(["HOLDER"] if with_holder else []),
    ]
    rows = [
        [
            entry.get("appid"),
            entry.get("vid"),
            state,
            _entry_moment(entry, "starttime"),
            _entry_moment(entry, "stoptime"),
            *([entry.get("holder") or "-"] if with_holder else []),
        ]
        for entry, state in zip(entries, states)
    ]
    return f"{printable(product)}: {len(entries)} AppIDs, {counts}\n{table(headings, rows)}"


def _state(entry: dict[str, Any]) -> str:
    if entry.get("is_available") is True:
        return "free"
    return _STATES.get(str(entry.get("status")), "used this hour")


def _entry_moment(entry: dict[str, Any], name: str) -> str:
    value = entry.get(name)
    return moment(value / 1000 if isinstance(value, (int, float)) else None)


def init(arguments: argparse.Namespace) -> int:
    """Set a product's AppIDs."""
    appids = read_appids(arguments.file)
    if arguments.keep_state:
        _require_extensions(open_api(arguments))
    with make_client(arguments) as client:
        client.init_product(arguments.product, appids, keep_state=arguments.keep_state)
    if arguments.json:
        say_json(
            {
                "success": True,
                "productName": arguments.product,
                "appids": len(appids),
                "keepState": arguments.keep_state,
            }
        )
    else:
        number = f"{len(appids)} AppID{'' if len(appids) == 1 else 's'}"
        say(f"{printable(arguments.product)} has {number} now")
    return ExitCode.OK


def _require_extensions(api: ServiceApi) -> None:
    """A service of the field would ignore `keepState` and forget what is in use."""
    api.health()
    if not api.extended:
        raise UsageError(
            f"--keep-state: {api.base_url} can't do that, and would forget what is in use; nothing was sent"
        )


def acquire(arguments: argparse.Namespace) -> int:
    """Get an AppID and print it; one that can't be printed is given back."""
    patience = _FOREVER if arguments.patience is None else arguments.patience
    once = arguments.no_wait or patience == 0
    with Countdown() as countdown, make_client(arguments, countdown) as client:
        acquired = client.acquire_appid(
            arguments.product,
            0 if once else arguments.max_retries,
            arguments.retry_interval,
            timeout=_FOREVER if once else patience,
        )
        try:
            countdown.stop()
            say(_acquired_text(acquired, arguments))
        except BaseException:
            client.release_appid(acquired.appid, acquired.product_name)
            raise
    return ExitCode.OK


def _acquired_text(acquired: Acquisition, arguments: argparse.Namespace) -> str:
    if arguments.json:
        names = ("appid", "vid", "starttime", "productName")
        return json.dumps(dict(zip(names, acquired)), ensure_ascii=False)
    if arguments.shell:
        return "\n".join(
            f"{name}={shlex.quote(str(value))}"
            for name, value in zip(
                ("APPID", "APPID_VID", "APPID_START_TIME", "APPID_PRODUCT"), acquired
            )
        )
    return f"{printable(acquired.appid)}\t{printable(acquired.vid)}"


def release(arguments: argparse.Namespace) -> int:
    """Give an AppID back."""
    with make_client(arguments) as client:
        released = client.release_appid(arguments.appid, arguments.product)
    if arguments.json:
        say_json({"released": released, "appid": arguments.appid, "productName": arguments.product})
    else:
        what = f"{printable(arguments.appid)} of {printable(arguments.product)}"
        say(f"released {what}" if released else f"{what} was released already")
    return ExitCode.OK


def reap(arguments: argparse.Namespace) -> int:
    """Give back what killed processes of this host held."""
    if not arguments.verbose:
        logger.setLevel(logging.ERROR)  # what was given back is the output here, no warning
    with make_client(arguments) as client:
        if arguments.journal is not None or client.journal is None:
            client.use_journal(arguments.journal)
        reaped = client.reap()
    if arguments.json:
        say_json([_reaped_json(found) for found in reaped])
        return ExitCode.OK
    for found in reaped:
        what = printable(found.appid or "what an unanswered acquire got")
        about = (
            f"{what} of {printable(found.product_name)} (held by {printable(found.holder or '-')})"
        )
        say(f"gave back {about}" if found.released else f"{about} was not held any more")
    if not reaped:
        say("nothing to give back")
    return ExitCode.OK


def _reaped_json(found: Reaped) -> dict[str, object]:
    return {
        "appid": found.appid,
        "productName": found.product_name,
        "holder": found.holder,
        "released": found.released,
    }


def _treat_hangup_as_termination() -> None:
    """A terminal that is closed stops the service as SIGTERM does: what is under way is answered."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        signal.signal(hangup, lambda number, frame: signal.raise_signal(signal.SIGTERM))


def _in_terms_of_serve(error: ConfigurationError) -> str:
    """What is a setting of the service is an option here, and its token can be a variable."""
    option = "--" + (error.setting or "").replace("_", "-")
    if error.setting == "auth_token":
        option = f"--token or {TOKEN_VARIABLE}"
    return f"{option} {error.problem}" if error.setting else str(error)


def serve(arguments: argparse.Namespace) -> int:
    """Run the service here."""
    from ..server import ServiceSettings
    from ..server import serve as run_service

    token = arguments.token if arguments.token is not None else os.environ.get(TOKEN_VARIABLE)
    try:
        settings = ServiceSettings(
            host=arguments.host,
            port=arguments.port,
            database=arguments.database,
            auth_token=token or None,
            timezone=arguments.timezone,
            hour_seconds=arguments.hour_seconds,
            insecure=arguments.insecure,
        )
    except ConfigurationError as error:
        raise UsageError(_in_terms_of_serve(error)) from None

    def ready(url: str) -> None:
        if arguments.json:
            say_json({"url": url})
        else:
            guarded = "token required" if token else "no token"
            say(f"serving AppIDs at {url} ({guarded}, {settings.database_file}); Ctrl-C stops it")

    _treat_hangup_as_termination()
    run_service(settings, ready)
    return ExitCode.OK
