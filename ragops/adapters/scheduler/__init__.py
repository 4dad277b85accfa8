"""Schedulers of the machine: cron and systemd."""
