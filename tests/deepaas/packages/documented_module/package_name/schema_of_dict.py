"""The schema of the answer as a dictionary."""

from marshmallow import fields

schema = {
    "status": fields.Str(
        description="Model predictions",
        required=True
    ),
    "predictions": fields.List(
        fields.Nested(
            {
                "label": fields.Str(required=True),
                "probability": fields.Float(required=True),
            },
        )
    ),
}


def predict():
    return {
        "status": "OK",
        "predictions": [
            {
                "label": "foo",
                "probability": 1.0,
            },
            {
                "label": "bar",
                "probability": 0.5,
            },
        ],
    }
