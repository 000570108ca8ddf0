"""The model that misbehaves on demand, for tests of what modelserve does about it.

model.py     what modelserve serves, and the switches that ask for faults before any call
asked.py     one call, and what a mode is
answers.py, errors.py, files.py, gpu.py, processes.py, upsets.py    the modes
training.py  the modes of train
"""
