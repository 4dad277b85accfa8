#!/bin/bash
# debian:trixie-slim by debootstrap, unless it is here.
set -euo pipefail
if [ "${FORCE:-0}" != 1 ] && docker image inspect debian:trixie-slim > /dev/null 2>&1; then exit 0; fi
if [ -z "${MIRROR:-}" ]; then
  # The mirror that this machine's apt uses, in either format of its files.
  MIRROR=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1 | tr -d ' ' || true)
fi
[ -n "$MIRROR" ] || { echo "set MIRROR to a mirror of Debian" >&2; exit 7; }
MIRROR=${MIRROR%/}
command -v debootstrap > /dev/null || { echo "debootstrap is needed: apt-get install debootstrap" >&2; exit 7; }
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT

debootstrap --variant=minbase --include=ca-certificates,curl --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  trixie "$root" "$MIRROR"
cat > "$root/etc/apt/sources.list" <<L
deb $MIRROR trixie main
deb $MIRROR trixie-updates main
deb ${MIRROR}-security trixie-security main
L
cat > "$root/etc/dpkg/dpkg.cfg.d/docker" <<'L'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
L
cat > "$root/etc/apt/apt.conf.d/docker" <<'L'
Acquire::Languages "none";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
L
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
find "$root/usr/share/doc" -depth -type f ! -name copyright -delete
rm -rf "$root"/usr/share/{man,info,locale,lintian}/* "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin \
       "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt "$root"/var/cache/debconf/*-old
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"; : > "$root/etc/machine-id"
tar -C "$root" --numeric-owner -c . | docker import \
  -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' -c 'CMD ["bash"]' - debian:trixie-slim
