"""The package leaf_classifier once nothing in it needs DEEPaaS any more, as its page says to write it."""

from aiohttp.web import HTTPBadRequest
from webargs import fields, validate

from modelserve.v2 import OutputFile, UploadedFile


def get_metadata():
    return {"name": "leaf_classifier", "description": "Tells leaves apart."}


def get_predict_args():
    return {
        "data": fields.Raw(
            load_default=None, metadata={"type": "file", "location": "form", "description": "Image of a leaf"}
        ),
        "top": fields.Int(
            load_default=3, validate=[validate.Range(min=1, max=10)], metadata={"description": "How many"}
        ),
        "choice": fields.Str(load_default="one", metadata={"enum": ["one", "two"], "description": "One of two"}),
        "what": fields.Str(load_default="str", metadata={"description": "What to answer with"}),
    }


def predict(data, top, choice, what):
    if what == "upload" and isinstance(data, UploadedFile):
        return OutputFile(data.filename)
    if what == "value":
        raise HTTPBadRequest(reason=str(ValueError("no leaf")))
    return "a text"
