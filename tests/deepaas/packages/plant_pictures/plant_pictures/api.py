"""Answers with pictures, archives and JSON; takes each argument from a place of its own, and files as named tuples."""

import io
import json
import time
import zipfile

from deepaas.model.v2.wrapper import ReturnedFile, UploadedFile
from webargs import fields, validate

PNG = b"\x89PNG\r\n\x1a\n plant"


def get_metadata():
    return {
        "name": "Plant pictures",
        "description": "Draws plants.",
        "author": ["A. Botanist", "B. Gardener"],
        "summary": "Draws plants",
        "version": 2,
        "license": None,
    }


def get_predict_args():
    return {
        "accept": fields.Str(
            location="headers",
            description="Media type of the answer",
            validate=validate.OneOf(["image/*", "application/zip", "application/json"]),
        ),
        "data": fields.Field(type="file", location="form", missing=None, description="A picture (image)"),
        "notes": fields.Field(type="file", location="form", missing=None, description="Any file"),
        "what": fields.Str(missing="arguments", description="What to answer with"),
        "size": fields.Int(missing=8, validate=validate.Range(1, 64)),
        "scale": fields.Float(missing=1.5),
        "flag": fields.Bool(missing=True),
        "colours": fields.List(fields.Str(), missing=["green"]),
        "crop": fields.List(fields.Int(), missing=[1, 2]),
        "kind": fields.Str(missing="leaf", enum=["leaf", "root"]),
        "options": fields.Dict(missing={}),
        "token": fields.Str(location="headers", missing="none"),
        "words": fields.Str(location="form", missing="none"),
        "depth": fields.Int(location="json", missing=3),
        "level": fields.Int(location="query", missing=4),
    }


def _upload(upload):
    name, path, *rest = upload
    assert isinstance(upload, UploadedFile) and upload[1] == path == upload.filename
    assert json.loads(json.dumps(upload)) == [name, path, *rest]
    assert UploadedFile(**upload._asdict()) == upload
    assert UploadedFile(name=name, filename=path, content_type="a/b").original_filename is None
    with open(path, "rb") as file:
        return [name, *rest, file.read().decode("latin-1")]


def predict(what, data, notes, **args):
    args["data"], args["notes"] = (each and _upload(each) for each in (data, notes))
    if what == "nan":
        return {"score": float("nan"), "labels": {"leaf"}}
    if what == "returned":
        return ReturnedFile(name="data", filename=__file__, content_type="image/svg+xml")
    if what == "image":
        return open(data.filename, "rb") if data else io.BytesIO(PNG)
    if what == "zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("arguments.json", json.dumps(args))
        packed.seek(0)
        return packed
    if what == "json" or args["accept"] == "application/json":
        return args
    return json.dumps(args)


def get_train_args():
    return {
        "epochs": fields.Int(missing=1),
        "wait": fields.Float(missing=0),
        "size": fields.Int(missing=1),
        "data": fields.Field(type="file", location="form", missing=None),
        "accept": fields.Str(location="headers", validate=validate.OneOf(["application/json", "text/csv"])),
        "mode": fields.Str(location="headers", missing="none"),
    }


def train(wait, size, data, **args):
    time.sleep(wait)
    if args["epochs"] == 13:
        raise ValueError("no thirteenth epoch")
    return {**args, "rows": "x" * size, "loss": float("nan")}
