"""The functions that DEEPaaS calls; their arguments come from schemas."""

import logging
import multiprocessing

from aiohttp.web import HTTPException

from . import schemas, utils

logger = logging.getLogger(__name__)
logger.setLevel("INFO")

schema = schemas.Answer


def get_metadata():
    try:
        return {
            "author": ["A. Geographer", "B. Hydrologist"],
            "author-email": {"A. Geographer": "a@example.org"},
            "description": "Finds the water on a tile.",
            "license": "MIT",
            "version": "1.0.0",
            "datasets": ["lakes", "rivers"],
        }
    except Exception as err:
        raise HTTPException(reason=err) from err


@utils.predict_arguments(schema=schemas.PredictArgs)
def predict(tile, threshold, band, **options):
    logger.info("tile %s", tile)
    if options["accept"] == "image/tiff":
        return tile.encode()
    shares = [{"label": "water", "share": 0.25}, {"label": "land", "share": 0.75}]
    return {"tile": tile, "band": band, "threshold": threshold, "shares": shares}


@utils.train_arguments(schema=schemas.TrainArgs)
def train(rate):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return {"losses": pool.map(_loss, [rate, 2 * rate])}


def _loss(rate):
    return 1 / rate
