"""A class, made from DEEPaaS's own."""

import json

from webargs import fields

from deepaas.model.v2.base import BaseModel


class SeaForecast(BaseModel):
    """Forecasts waves."""

    schema = {
        "status": fields.Str(description="How it went", required=True),
        "predictions": fields.List(
            fields.Nested({"hour": fields.Int(required=True), "height": fields.Float(required=True)})
        ),
    }

    def __init__(self):
        self.heights = []

    def get_metadata(self):
        return {"name": "Sea forecast", "description": "Forecasts waves.", "author": "C. Sailor", "license": None}

    def warm(self):
        self.heights = [0.5, 1.0, 1.5]

    def get_predict_args(self):
        return {
            "hours": fields.Int(required=True, description="How far"),
            "station": fields.Str(required=False, missing="north", enum=["north", "south"], description="Where"),
            "wrong": fields.Bool(missing=False, description="Break the schema"),
        }

    def predict(self, **kwargs):
        rows = [{"hour": hour, "height": self.heights[hour % 3]} for hour in range(kwargs["hours"])]
        return {
            "status": kwargs["station"],
            "predictions": json.loads(json.dumps(rows)),
            **({"x": 1} if kwargs["wrong"] else {}),
        }

    def get_train_args(self):
        raise NotImplementedError

    def train(self, **kwargs):
        raise NotImplementedError
