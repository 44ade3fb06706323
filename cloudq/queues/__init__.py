"""Keeping messages: a URL is opened to a driver, and a queue of it is a CloudQueue, with dead letters and claim check."""
