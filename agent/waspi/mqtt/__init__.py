"""The adapter to MQTT 5 over paho: a session that outlives its connections, driven by the caller's ``selectors`` loop."""
