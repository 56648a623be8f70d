#!/bin/sh
# Runs inside the image's making, as mmdebstrap's customize hook: ROOT CANDIDATE...
set -eu
root=$1
shift
repository=$root/var/lib/lab-repo

echo "I: downloading the candidates for the local repository" >&2
mkdir -p "$repository/partial"
chroot "$root" apt-get install --download-only --yes --quiet --no-install-recommends \
    -o APT::Sandbox::User=root -o Dir::Cache::archives=/var/lib/lab-repo "$@"
rm -rf "$repository/partial" "$repository/lock"

echo "I: indexing the local repository" >&2
(cd "$repository" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)

# The machine knows this repository alone: no mirror, proxy or key of the host.
rm -rf "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap \
    "$root"/var/lib/apt/lists/*
echo 'deb [trusted=yes] file:/var/lib/lab-repo ./' >"$root/etc/apt/sources.list"
chroot "$root" apt-get update --quiet -o Acquire::Languages=none -o APT::Sandbox::User=root
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb

echo "I: a small initial ramdisk, which boots fast without hardware virtualisation" >&2
printf '%s\n' virtio_pci virtio_blk virtio_console ext4 >>"$root/etc/initramfs-tools/modules"
printf '%s\n' MODULES=list COMPRESS=zstd >"$root/etc/initramfs-tools/conf.d/lab"
chroot "$root" update-initramfs -u -k all
