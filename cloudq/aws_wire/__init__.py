"""How this process speaks to AWS: calls that end in time, what counts as an answer, and a lean way for what repeats."""
