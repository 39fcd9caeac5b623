"""Updates over the air: the device's side.

Two processes share the work. The *updater*, a short-lived child (:mod:`waspi.updates.updater`), carries python-tuf: it
refreshes the signed metadata, works out what this device shall run and fetches what is missing. The *agent* decides
when it runs (:mod:`waspi.updates.schedule`), carries its requests to the broker, and takes each release through its
life (:mod:`waspi.updates.lifecycle`); it imports nothing of the first half.
"""
