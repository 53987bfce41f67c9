"""A gateway, for real, whose clients have a fraction of a second where others have many: its own timer at work.

python tests/support/hasty_gateway.py --port PORT
"""

import sys
from functools import partial

from entrepot.compose import gateway
from entrepot.edge.client_connection import ClientLimits

TIME_S = 0.5

if __name__ == "__main__":
    setattr(gateway, "ClientLimits", partial(ClientLimits, head_s=TIME_S, body_s=TIME_S, idle_s=TIME_S))  # noqa: B010
    sys.exit(gateway.main())
