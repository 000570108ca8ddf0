"""An example model for modelserve: reads one handwritten digit off a picture.

model.py       what modelserve serves: arguments, schema, predict, predict_batch
picture.py     any picture -> the 8x8 square that the classifier knows
classifier.py  scikit-learn's bundled digits -> a fitted classifier, and how good it is
chart.py       probabilities -> a bar chart
samples.py     pictures to try, made of digits that the classifier was not fitted on
"""
