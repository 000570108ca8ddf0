"""The schema of the answer as a class."""

import marshmallow
from marshmallow import fields


class Prediction(marshmallow.Schema):
    label = fields.Str(required=True)
    probability = fields.Float(required=True)


class Response(marshmallow.Schema):
    status = fields.Str(
        description="Model predictions",
        required=True
    )
    predictions = fields.List(fields.Nested(Prediction))


schema = Response


def predict():
    return {"status": "OK", "predictions": [{"label": "foo", "probability": 1.0}, {"label": "bar", "probability": 0.5}]}
