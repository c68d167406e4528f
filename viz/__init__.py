"""The room of the dashboard, installed as ``exoabm.viz``; it holds no page yet."""
