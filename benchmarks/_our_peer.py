"""Our service as it runs in production: `python -m benchmarks._our_peer PORT DATABASE [HOUR]`.

`HOUR` is the length of an hour in seconds.
"""

from __future__ import annotations

import sys

from appid_manager_client.server import ServiceSettings, serve

if __name__ == "__main__":
    hour = int(sys.argv[3]) if len(sys.argv) > 3 else None
    serve(ServiceSettings(port=int(sys.argv[1]), database=sys.argv[2], hour_seconds=hour))
