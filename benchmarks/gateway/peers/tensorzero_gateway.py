"""Runs the HTTP gateway that TensorZero's Python package carries, in that package's environment; prints its base URL.

python tensorzero_gateway.py CONFIG
"""

import sys
import time

from tensorzero import tensorzero  # type: ignore[import-not-found]

gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(f"listening at {gateway.base_url}", flush=True)
while True:
    time.sleep(3600)
