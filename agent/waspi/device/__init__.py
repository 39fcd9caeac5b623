"""The agent: one loop that wires MQTT, journal and sandbox together."""
