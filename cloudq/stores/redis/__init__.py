"""The store on Redis and Valkey."""

from cloudq.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
