"""Its tables, made by cloudq's own SQL."""
