"""Ray on this machine alone."""

from __future__ import annotations


def boot(cpus: int) -> None:
    """Starts Ray with so many cores to give out, whatever the machine has."""
    import ray

    for last in (False, False, True):
        try:
            ray.init(
                num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level="error"
            )
            return
        except Exception as error:
            # Ray waits 30 s for its own processes and no longer, which a busy machine exceeds.
            if last or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
