"""The batching models that misbehave on demand, for tests of what modelserve does about it.

model.py  ``chaos-batch``: how each item goes, and how its whole batch does
modes.py  those modes
keyed.py  ``chaos-keyed``: the same, with a say in who may share a batch
"""
