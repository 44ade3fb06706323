"""AMQP 1.0 (OASIS Standard, 29 October 2012): the codec, and the server's side of a connection without any I/O."""
