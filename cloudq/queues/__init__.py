"""Keeping messages: a URL is opened to a driver, whose queues are `CloudQueue`s with dead letters and claim check."""
