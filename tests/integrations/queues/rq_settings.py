"""Settings of the tests' RQ workers: they log what the library logs, as Celery's workers do."""

DICT_CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
}
