"""Run ragops unattended: the nightly backup, start at boot."""
