"""What every edge shares: a delivery in hand is run to its end, in time, on threads or an event loop."""
