"""What waspi costs, measured beside its peers in the same run. ``python -m bench.run --help``."""
