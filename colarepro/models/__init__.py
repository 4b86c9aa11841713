"""Where models come from: the package's own cache, a local folder, or a hub."""

from colarepro.models.load import OFFLINE, LoadedModel, fetch, load, weights_digest

__all__ = ["OFFLINE", "LoadedModel", "fetch", "load", "weights_digest"]
