"""An example model for modelserve: reads one handwritten digit with a small network in PyTorch.

model.py     what modelserve serves: arguments, schema, warm, predict_batch, train
network.py   the network, and the one pass from squares to probabilities, on a GPU or CPUs
training.py  the digits of the digits example -> the built-in network, and how good it is
learner.py   a network that a client's training teaches, on a GPU or CPUs
weights.py   the files that keep what was trained

How a picture becomes a square of 8 by 8, which digits are held out, and how a training goes, is the digits example's:
modelserve_digits.
"""
