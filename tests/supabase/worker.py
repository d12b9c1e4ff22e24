"""`python -m realtime` with leases that run out soon and retries that come soon, so that a test
need not wait for long."""

from __future__ import annotations

import sys

from realtime.__main__ import main
from realtime.supabase import Shipper, leases

LEASE_S = 2.0

if __name__ == "__main__":
    leases.LEASE_S = LEASE_S
    leases.SWEEP_S = 1.0
    Shipper.__init__.__kwdefaults__["retry_s"] = (0.1, 0.3, 0.3)
    sys.exit(main())
