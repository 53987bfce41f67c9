"""A gateway, for real, that gives Valkey a minute: of a thousand requests at once on a busy machine, some wait long.

python tests/support/patient_gateway.py --port PORT
"""

import sys

from entrepot.adapters.valkey import counters
from entrepot.compose import gateway

if __name__ == "__main__":
    counters.REPLY_S_MAX = 60.0
    sys.exit(gateway.main())
