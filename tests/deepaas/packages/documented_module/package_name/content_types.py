"""Answers of different content types."""

import tempfile
import zipfile

from webargs import fields, validate

img_path = tempfile.mktemp(suffix=".png")
zip_path = tempfile.mktemp(suffix=".zip")


def warm():
    with open(img_path, "wb") as file:
        file.write(b"\x89PNG\r\n")
    with zipfile.ZipFile(zip_path, "w") as file:
        file.writestr("a.txt", "a")


def get_predict_args():
    return {
        'accept': fields.Str(description="Media type(s) that is/are acceptable for the response.",
                             missing='application/zip',
                             validate=validate.OneOf(['application/zip', 'image/png', 'application/json']))
    }


def predict(**args):
    # Run your prediction

    # Return file according to user selection
    if args['accept'] == 'image/png':
        return open(img_path, 'rb')

    elif args['accept'] == 'application/json':
        return {'some': 'json'}

    elif args['accept'] == 'application/zip':
        return open(zip_path, 'rb')
