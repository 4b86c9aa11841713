"""What ``colarepro doctor`` looks at: a folder of records, the cache of models, the environment."""

from colarepro.health.cache import check_cache
from colarepro.health.environment import check_environment
from colarepro.health.finding import Finding
from colarepro.health.records import check_records

__all__ = ["Finding", "check_cache", "check_environment", "check_records"]
