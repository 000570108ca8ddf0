"""A decorator that tells DEEPaaS the arguments of a function, in the module that has it."""

import sys


def predict_arguments(schema):
    def inject(function):
        sys.modules[function.__module__].get_predict_args = lambda: schema().fields
        return function

    return inject


def train_arguments(schema):
    def inject(function):
        sys.modules[function.__module__].get_train_args = lambda: schema().fields
        return function

    return inject
