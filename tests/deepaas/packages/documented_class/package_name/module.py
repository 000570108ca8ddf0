"""A class that inherits from DEEPaaS's."""

from webargs import fields

from deepaas.model.v2.base import BaseModel


class Class(BaseModel):
    schema = None

    def __init__(self):
        self.weights = None

    def get_metadata(self):
        return {"name": "My model", "description": "Model description"}

    def warm(self):
        self.weights = [1, 2]

    def get_train_args(self):
        return {
            "arg1": fields.Str(
                required=False,  # force the user to define the value
                missing="foo",  # default value to use
                enum=["choice1", "choice2"],  # list of choices
                description="Argument one"  # help string
            ),
        }

    def train(self, **kwargs):
        return {"trained": kwargs["arg1"]}

    def get_predict_args(self):
        return {
            "arg1": fields.Str(
                required=False,  # force the user to define the value
                missing="foo",  # default value to use
                enum=["choice1", "choice2"],  # list of choices
                description="Argument one"  # help string
            ),
        }

    def predict(self, **kwargs):
        return {"arg1": kwargs["arg1"], "weights": self.weights}
