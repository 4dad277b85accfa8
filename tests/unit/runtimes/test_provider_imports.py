"""What Pulumi's host of dynamic providers imports: it starts once or twice for each plan and each `up`."""

from __future__ import annotations

import subprocess
import sys

PROVIDERS = ("ragops.runtimes.embedded.process", "ragops.runtimes.embedded.gateway_config")


def test_providers_import_no_client_before_they_use_one() -> None:
    code = (
        f"import sys, {', '.join(PROVIDERS)}\nprint([n for n in ('httpx', 'cryptography', 'rich') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
