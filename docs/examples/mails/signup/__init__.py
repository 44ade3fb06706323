"""People subscribe to a newspaper by mail, and confirm that it was them."""
