"""`cloudq cost`: what the calls of a queue's tasks cost, by what was counted and a table of prices."""
