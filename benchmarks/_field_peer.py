"""A service that works as the field services do, to measure against.

Flask's own server, HTTP/1.0, a thread for each request, dicts under one lock, everything in
memory, a scan of every AppID at each call. It has only the calls that the benchmark makes.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
_lock = threading.Lock()
_appids: dict[str, dict[str, Any]] = {}


def _hour(time_ms: int) -> int:
    return time_ms - time_ms % 3_600_000


@app.post("/api/appid/init")
def init() -> ResponseReturnValue:
    body = request.get_json()
    product = body["productName"]
    with _lock:
        for appid in [a for a, entry in _appids.items() if entry["productName"] == product]:
            del _appids[appid]
        for appid, vid in body["appids"].items():
            _appids[appid] = {
                "vid": vid,
                "productName": product,
                "starttime": None,
                "stoptime": None,
            }
    return jsonify({"success": True})


@app.post("/api/appid/acquire")
def acquire() -> ResponseReturnValue:
    product = request.get_json()["productName"]
    now = int(time.time() * 1000)
    with _lock:
        for appid, entry in _appids.items():
            if entry["productName"] != product:
                continue
            stop = entry["stoptime"]
            unused = entry["starttime"] is None
            if unused or (stop is not None and _hour(stop) < _hour(now)):
                entry["starttime"], entry["stoptime"] = now, None
                return jsonify(
                    {
                        "appid": appid,
                        "vid": entry["vid"],
                        "productName": product,
                        "starttime": now,
                    }
                )
    return jsonify({"error": "waiting", "retry_after": 60, "message": "all in use"}), 202


@app.post("/api/appid/release")
def release() -> ResponseReturnValue:
    now = int(time.time() * 1000)
    with _lock:
        _appids[request.get_json()["appid"]]["stoptime"] = now
    return jsonify({"success": True, "stoptime": now})


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run(port=int(sys.argv[1]), threaded=True)
