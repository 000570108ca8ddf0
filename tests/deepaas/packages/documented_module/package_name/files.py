"""A file to predict from."""

from webargs import fields


def get_predict_args():
    return {
        "data": fields.Field(
            description="Data file to perform inference on.",
            required=False,
            missing=None,
            type="file",
            location="form")
    }


def predict(**kwargs):
    data = kwargs["data"]
    if data is None:
        return {"data": None}
    with open(data.filename) as file:
        return {
            "name": data.name,
            "content_type": data.content_type,
            "original_filename": data.original_filename,
            "content": file.read(),
        }
