"""An example model for modelserve: reads one handwritten digit with a small network in PyTorch.

model.py     what modelserve serves: arguments, schema, warm, predict_batch
network.py   the network, and the one pass from squares to probabilities, on a GPU or CPUs
training.py  the digits of the digits example -> a trained network, and how good it is
weights.py   the file that keeps what was trained

How a picture becomes a square of 8 by 8, and which digits are held out, is the digits example's: modelserve_digits.
"""
