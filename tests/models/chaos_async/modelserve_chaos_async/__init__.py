"""The asynchronous models that misbehave on demand, for tests of what modelserve does about it.

model.py   ``chaos-async``: predict is a coroutine, many run at the same time
stream.py  ``chaos-async-stream``: predict is an asynchronous generator
"""
