"""Supabase: the durable copy of the log. The journal ships to it; sessions are read back.

`import supabase` in these modules is the client library, not this package.
"""

from .client import Supabase
from .errors import SupabaseError
from .leases import Leases, sweep
from .shipper import Shipper, Source

__all__ = ["Leases", "Shipper", "Source", "Supabase", "SupabaseError", "sweep"]
