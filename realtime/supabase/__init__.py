"""Supabase: the durable copy of the log. The journal ships to it; sessions are read back.

`import supabase` in these modules is the client library, not this package.
"""

from realtime.supabase.client import Supabase
from realtime.supabase.errors import SupabaseError
from realtime.supabase.leases import Leases, sweep
from realtime.supabase.shipper import Shipper, Source

__all__ = ["Leases", "Shipper", "Source", "Supabase", "SupabaseError", "sweep"]
