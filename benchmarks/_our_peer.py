"""Our service as it runs in production: `python -m benchmarks._our_peer PORT DATABASE`."""

from __future__ import annotations

import sys

from appid_manager_client.server import ServiceSettings, serve

if __name__ == "__main__":
    serve(ServiceSettings(port=int(sys.argv[1]), database=sys.argv[2]))
