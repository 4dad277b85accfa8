"""The engine's and the plugin's failures, as they were seen (engine 3.259.0, plugin 5.1.0, Docker 20.10 and later)."""

from __future__ import annotations

import pytest

from ragops.adapters.pulumi.errors import translate, unwrap_messages
from ragops.errors import ExitCode, MissingError, encode_error

FAILED = "\n code: 1\n stdout: Updating (dev):\n stderr: error: update failed"


def as_events(words: str, creating: bool = False) -> list[str]:
    """What the plugin makes of one message of the Docker engine."""
    urn = "creating urn:pulumi:dev::p::docker:index/container:Container::redis: 1 error occurred:\n\t* "
    return [
        f"  sdk-v2/provider2.go:572: sdk.helper_schema: {words}: provider=docker@5.1.0",
        f"1 error occurred:\n\t* {urn if creating else ''}{words}\n\n",
        "update failed",
    ]


@pytest.mark.parametrize(
    ("words", "code", "exit_code", "told"),
    [
        (
            "Unable to start container: Error response from daemon: driver failed programming external connectivity on "
            "endpoint shop-default-redis (9ed7d): Error starting userland proxy: listen tcp4 127.0.0.1:17379: bind: "
            "address already in use",
            "port_taken",
            ExitCode.MISSING,
            "port 17379 of 127.0.0.1 is taken: shop-default-redis cannot listen there",
        ),
        (
            "Unable to start container: Error response from daemon: failed to set up container networking: driver "
            "failed programming external connectivity on endpoint shop-default-redis (9ed7d): Bind for 0.0.0.0:6379 "
            "failed: port is already allocated",
            "port_taken",
            ExitCode.MISSING,
            "port 6379 of 0.0.0.0 is taken: shop-default-redis cannot listen there",
        ),
        (
            "Unable to create container: Error response from daemon: Conflict. The container name "
            '"/shop-default-redis" is already in use by container "96e2349a11357bbee1a4". You have to remove (or '
            "rename) that container to be able to reuse that name.",
            "name_taken",
            ExitCode.FAILED,
            "a container that ragops did not make has the name shop-default-redis (96e2349a1135)",
        ),
        (
            "Unable to create network: Error response from daemon: network with name shop-default already exists",
            "name_taken",
            ExitCode.FAILED,
            "a network that ragops did not make has the name shop-default",
        ),
        (
            "Unable to create network: Error response from daemon: could not find an available, non-overlapping IPv4 "
            "address pool among the defaults to assign to the network",
            "networks_exhausted",
            ExitCode.FAILED,
            "Docker has no addresses left for another network",
        ),
        (
            "Unable to create container with image sha256:11: unable to pull image sha256:11: error pulling image "
            'sha256:11: Error response from daemon: Get "https://registry-1.docker.io/v2/": no such host',
            "image_missing",
            ExitCode.MISSING,
            "cannot fetch an image that is not on this machine",
        ),
        (
            "Unable to read Docker image into resource: unable to pull image sha256:11: error pulling image",
            "image_missing",
            ExitCode.MISSING,
            "cannot fetch an image that is not on this machine",
        ),
        (
            "docker native provider returned an unexpected error from Configure: failed to connect to any docker "
            "daemon",
            "docker_missing",
            ExitCode.MISSING,
            "no Docker engine answers",
        ),
        (
            "Unable to create container: Error response from daemon: mkdir /var/lib/docker/x: no space left on device",
            "disk_full",
            ExitCode.MISSING,
            "no space is left where Docker keeps its data",
        ),
    ],
)
def test_what_the_plugin_says_has_a_cure(words: str, code: str, exit_code: ExitCode, told: str) -> None:
    for creating in (False, True):
        error = translate(FAILED, as_events(words, creating))
        assert (error.code, error.exit_code, error.message) == (code, exit_code, told)
        assert error.hint


def test_a_full_disk_of_the_state_is_another_one() -> None:
    error = translate("error: writing /p/state/x.json: no space left on device")
    assert (error.code, error.message) == ("disk_full", "no space is left where the Pulumi state lies")


def test_a_missing_plugin_says_how_to_get_it_with_and_without_a_network() -> None:
    error = translate(
        "stderr: error: could not load provider for resource urn:x: Could not automatically download and install "
        "resource plugin 'pulumi-resource-docker' at version v5.1.0, install the plugin using `pulumi plugin install "
        "resource docker v5.1.0`: error downloading provider docker to file: failed all 5 attempts"
    )
    assert (error.code, error.exit_code) == ("plugin_missing", ExitCode.MISSING)
    assert "plugin install resource docker v5.1.0" in error.hint
    assert "--file" in error.hint


def test_what_our_own_providers_raise_comes_through() -> None:
    said = MissingError("disk_full", "cannot write: no space left on the device", "free some")
    error = translate(FAILED, ["update failed", f"Exception calling application: {encode_error(said)}"])
    assert (error.code, error.message, error.hint, error.exit_code) == (
        said.code, said.message, said.hint, ExitCode.MISSING,
    )  # fmt: skip


def test_what_nobody_knows_is_quoted_once_and_bare() -> None:
    words = "Unable to start container: Error response from daemon: something new"
    assert unwrap_messages(as_events(words, creating=True)) == (words,)
    assert translate(FAILED, as_events(words)).message == f"the Pulumi engine failed: {words}"


def test_without_events_the_last_words_count() -> None:
    assert translate(FAILED).message == "the Pulumi engine failed: error: update failed"
    assert translate(FAILED, ["update failed"]).message == "the Pulumi engine failed: update failed"
