from tests.supabase.conftest import postgres, project, storing

__all__ = ["postgres", "project", "storing"]
