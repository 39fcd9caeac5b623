"""Attacks on a running agent: ``make attack``.

A program is a module here with a function ``attack(board) -> Finding``; the first line of its docstring says what is
tried. ``board`` is a real agent behind a real mosquitto with the access lists of ``waspi broker config``
(:class:`tests.attack.board.Board`). Parts that several programs need lie beside them:

- ``board.member(name)``: any member of the fleet with its own certificate, to speak MQTT as it likes;
- ``captured.py``: the real worker and compiler programs, in which a job or a module does what native code could do that
  broke out of its guest: after the lock-down, with all of the process in its hands.
"""
