"""The engine that a service on this machine infers with: servers if the environment names some, else its own."""

from __future__ import annotations

from pathlib import Path

from waferlens.engines.fleet import Fleet
from waferlens.engines.interface import TimedEngine
from waferlens.engines.pool import EnginePool, PoolOptions
from waferlens.errors import EngineError
from waferlens.settings.environment import bundle_key, cache_folder, num_engines, triton_urls

_LOAD_SECONDS = 60.0


def open_timed_engine(bundle: Path, options: PoolOptions | None = None, *, is_loaded: bool = True) -> TimedEngine:
    """``TritonEngine`` over ``WAFERLENS_TRITON``, for the model that the bundle names; without it an
    ``EnginePool``.

    The bundle is verified either way: its thresholds decide also when servers infer.
    options: of the pool; None for one engine a core, or as many as ``WAFERLENS_ENGINES`` says. is_loaded: whether
    somebody else sees to it that the servers have the model; else they are asked to load it, and waited for.
    Raises BundleError, EngineError or OptionsError.
    """
    urls, key = triton_urls(), bundle_key()
    if not urls:
        told = options or PoolOptions(num_workers=num_engines())
        return EnginePool.open(bundle, told, public_key=key, cache=cache_folder() / "engines")
    from waferlens.engines.triton import TritonEngine

    engine = TritonEngine.open(urls, bundle, public_key=key)
    if not is_loaded:
        try:
            engine.make_ready(_LOAD_SECONDS)
        except EngineError:
            engine.close()
            raise
    return engine


def open_fleet(bundle: Path, options: PoolOptions | None = None) -> Fleet:
    """Room for several models, with the bundle's as champion; see ``open_timed_engine``.

    A service starts before its servers are up; a model that it goes over to is loaded by them beforehand.
    """
    return Fleet(
        lambda other: open_timed_engine(other, options, is_loaded=False), open_timed_engine(bundle, options)
    )
