"""The same no-op jobs through our queue and through others; each is run by ``bench.queue``.

Every module takes ``submit COUNT``, ``work COUNT SLOTS`` and ``wait COUNT`` and prints JSON:
``submit`` and ``work`` how many a second, ``wait`` the milliseconds from each submit to its start.
"""
