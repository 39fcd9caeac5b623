"""The depot: serves the files of an update repository to devices over MQTT, in ranges."""
