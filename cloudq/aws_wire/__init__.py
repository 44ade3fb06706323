"""How this process speaks to AWS: connections whose calls end in time, and what counts as an answer."""
