"""An object; it has neither ``warm`` nor trainings, and cannot say what it is."""

from webargs import fields


class Tagger:
    def get_metadata(self):
        raise RuntimeError("the package's metadata is not there")

    def get_predict_args(self):
        return {"sound": fields.Str(required=True)}

    def predict(self, sound):
        return {"tag": f"like {sound}"}


tagger = Tagger()
