"""Arguments as schemas, whose fields DEEPaaS is given, bound as they are."""

import os

import marshmallow
from marshmallow import ValidationError, fields, validate

TILES = os.environ.get("TILES", ".")


class Tile(fields.String):
    """One of the files that are in a folder when the call comes."""

    def _deserialize(self, value, attr, data, **kwargs):
        if value not in os.listdir(TILES):
            raise ValidationError(f"{value!r} is none of {sorted(os.listdir(TILES))}.")
        return str(os.path.join(TILES, value))


class Upper(fields.String):
    """Overrides the other of the two methods."""

    def deserialize(self, value, attr=None, data=None, **kwargs):
        value = super().deserialize(value, attr, data, **kwargs)
        return value.upper() if isinstance(value, str) else value


class PredictArgs(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.RAISE
        ordered = True

    tile = Tile(metadata={"description": "A file of the folder."}, required=True)
    threshold = fields.Float(
        data_key="thresh", load_default=0.5, validate=validate.Range(min=0, max=1), metadata={"description": "Limit."}
    )
    band = Upper(load_default="red")
    size = fields.Integer(load_default=None, allow_none=True)
    accept = fields.String(
        metadata={"description": "Media type.", "location": "headers"},
        validate=[validate.OneOf(["application/json", "image/tiff"])],
    )


class TrainArgs(marshmallow.Schema):
    class Meta:
        unknown = marshmallow.RAISE

    rate = fields.Float(load_default=0.1)


class Answer(marshmallow.Schema):
    """What predict answers in JSON."""

    class Meta:
        ordered = True

    tile = fields.String(required=True)
    band = fields.String(required=True)
    threshold = fields.Float(required=True)
    shares = fields.List(fields.Nested({"label": fields.Str(required=True), "share": fields.Float()}))
