"""The functions that DEEPaaS calls, in a module, with fields as marshmallow 3 takes them."""

import io
import os
import tempfile
from collections import OrderedDict
from functools import wraps

from aiohttp.web import HTTPBadRequest, HTTPException, HTTPNotFound
from webargs import fields, validate

from deepaas import config, log
from deepaas.model.v2 import wrapper
from deepaas.model.v2.wrapper import ReturnedFile, UploadedFile

LOG = log.getLogger(__name__)

STATE = {}


def _catch_error(f):
    @wraps(f)
    def wrap(*args, **kwargs):
        try:
            return f(*args, **kwargs)
        except HTTPException:
            raise
        except Exception as e:
            raise HTTPBadRequest(reason=e)

    return wrap


def get_metadata():
    return {
        "Name": "leaf_classifier",
        "Version": "1.0.0",
        "Summary": "Tells leaves apart.",
        "Home-page": "https://example.org/leaves",
        "Author": "A. Botanist",
        "Author-email": "botanist@example.org",
        "License": "MIT",
        "date": "2020-01-01",
    }


def warm():
    LOG.info("loading the leaves")
    STATE["warm"] = os.getpid()


def get_predict_args():
    args = OrderedDict()
    args["data"] = fields.Field(
        required=False,
        missing=None,
        type="file",
        location="form",
        description="Image of a leaf",
    )
    args["more"] = fields.List(
        fields.Field(type="file", location="form"), missing=[], location="form", description="More images"
    )
    args["raw"] = fields.Raw(missing=None, metadata={"type": "file", "location": "form"})
    args["url"] = fields.Url(required=False, missing=None, description="Address of an image")
    args["demo-str"] = fields.Str(required=False, missing="some-string", description="A name that is no identifier")
    args["bbox(N,W,S,E)"] = fields.List(fields.Float(), missing=None, description="Box")
    args["top"] = fields.Int(missing=3, validate=[validate.Range(min=1, max=10)], description="How many")
    args["choice"] = fields.Str(missing="one", enum=["one", "two"], description="One of two")
    args["tags"] = fields.List(fields.Str(), missing=["green", "small"], description="Several")
    args["flag"] = fields.Bool(missing=False)
    args["what"] = fields.Str(missing="arguments", description="What to answer with")
    args["accept"] = fields.Str(
        missing="application/json",
        validate=validate.OneOf(["application/json", "image/png", "text/plain"]),
        description="Media type of the answer",
    )
    return args


@_catch_error
def predict(**kwargs):
    return _ANSWERS[kwargs["what"]](kwargs)


def _arguments(kwargs):
    seen = {name: _seen(value) for name, value in kwargs.items()}
    return {"arguments": seen, "warm": STATE.get("warm") == os.getpid(), "cwd": os.getcwd()}


def _seen(value):
    if isinstance(value, list):
        return [_seen(each) for each in value]
    if isinstance(value, UploadedFile) and isinstance(value, wrapper.UploadedFile):
        with open(value.filename, "rb") as file:
            return [value.name, value.content_type, value.original_filename, file.read().decode()]
    return value


def _bytes_with_a_name(kwargs):
    file = io.BytesIO(b"0123456789")
    file.name = "digits.bin"
    file.seek(5)
    return file


def _half_read(kwargs):
    handle, path = tempfile.mkstemp(suffix=".png")
    os.write(handle, b"0123456789")
    os.close(handle)
    file = open(path, "rb")
    file.read(5)
    return file


def _kept(kwargs):
    file = open(os.path.abspath(__file__), "rb")
    file.read(5)
    return file


def _own_upload(kwargs):
    os.remove(kwargs["data"].filename)
    return {"deleted": True}


def _raise(error):
    raise error


_ANSWERS = {
    "arguments": _arguments,
    "list": lambda kwargs: [1, "two", None],
    "str": lambda kwargs: "a text",
    "none": lambda kwargs: None,
    "bytes": lambda kwargs: b"0123456789",
    "bytesio": _bytes_with_a_name,
    "handle": _half_read,
    "kept": _kept,
    "upload": lambda kwargs: kwargs["data"],
    "open upload": lambda kwargs: open(kwargs["data"].filename, "rb"),
    "returned": lambda kwargs: ReturnedFile(filename=os.path.abspath(__file__)),
    "delete": _own_upload,
    "conf": lambda kwargs: {"model": config.CONF.model_name},
    "value": lambda kwargs: _raise(ValueError("no leaf\nin this image")),
    "not found": lambda kwargs: _raise(HTTPNotFound(reason="no such leaf")),
    "exception": lambda kwargs: _raise(HTTPException(reason=KeyError("leaf"))),
    "text": lambda kwargs: _raise(HTTPBadRequest(reason="a reason", text="a whole text")),
}


def get_train_args():
    return {
        "epochs": fields.Int(missing=1, description="How often", validate=validate.Range(min=1)),
        "data": fields.Field(missing=None, type="file", location="form", description="Images"),
    }


def train(**kwargs):
    data = kwargs["data"]
    print("training on", data.original_filename if data else "nothing")
    return {"epochs": kwargs["epochs"], "data": _seen(data)}
