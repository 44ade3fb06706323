"""The pure core: values, rules and the driver contract. No I/O, no SDK."""
