"""The adapter to MQTT 5 over paho: a session over many connections, driven by the caller's ``selectors`` loop."""
