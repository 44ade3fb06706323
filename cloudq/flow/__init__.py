"""Flow control: how fast tasks may start, how many at once, and whether at all; shared by workers through a store."""
