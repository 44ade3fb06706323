"""`cloudq stats`: how full queues are, how fast they fill and empty, and how many workers that takes."""
