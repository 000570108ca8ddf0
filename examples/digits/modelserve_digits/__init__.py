"""An example model for modelserve: reads one handwritten digit off a picture.

model.py       what modelserve serves: arguments, schema, predict, predict_batch, train
answers.py     what is said of a digit
picture.py     any picture -> the 8x8 square that the classifier knows
classifier.py  scikit-learn's bundled digits -> the built-in classifier, and how good it is
chart.py       probabilities -> a bar chart
samples.py     pictures to try, made of digits that the classifier was not fitted on

Of the training:

course.py      the way of a training, epoch after epoch
lessons.py     what a training looks at: the bundled digits, tilted by chance, and those that a client sends
network.py     a network with one hidden layer, which learns
weights.py     the file that keeps what was learnt
keeping.py     where that is, and how a file gets there whole
confusion.py   which digits were taken for which -> a table
style.py       colours and letters of the drawings
"""
