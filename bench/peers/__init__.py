"""The peers: what else runs WebAssembly from Python, each in an environment and a process of its own."""
