"""The protocol without any I/O: bytes and topics <-> values of the model, and the decisions made on them alone."""
