"""The smallest Starlette application, below uvicorn: `python -m benchmarks._empty_peer PORT`."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette

if __name__ == "__main__":
    uvicorn.run(Starlette(), port=int(sys.argv[1]), log_level="error")
