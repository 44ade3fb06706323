"""The polling edge: receives, keeps leases, runs tasks in threads or processes, settles."""
