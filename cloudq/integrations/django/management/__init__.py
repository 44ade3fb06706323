"""What `manage.py` has by cloudq."""
