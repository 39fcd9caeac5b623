"""``waspi doctor``: what is dangerous or missing on this device, in its configuration and at its broker."""
