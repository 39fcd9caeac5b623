"""Staged rollouts: deployments published step by step, as far as the devices' own reports allow."""
