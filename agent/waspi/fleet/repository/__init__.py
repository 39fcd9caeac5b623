"""The signed update repository: a folder that depots or any web server serve, made with python-tuf."""
