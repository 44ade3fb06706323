"""The emulator on the network: AMQP over TCP and over WebSocket, on one port."""
