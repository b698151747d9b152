# Sourced by the tests of packages: a fresh Debian 12 of this machine's own package sources, to install them in.
# Needs root; leaves nothing behind.

folder=$(mktemp -d)
chroot=$folder/root
# Where it failed before /proc was mounted, there is nothing to unmount.
trap 'umount -l "$chroot/proc" 2>/dev/null || true; rm -rf "$folder"' EXIT

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

inside() { chroot "$chroot" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }

# make_fresh_system FILE.deb...: with the packages at its top.
make_fresh_system() {
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
  debootstrap --variant=minbase bookworm "$chroot" "$mirror" >"$folder/log" || fail "debootstrap: $(tail -n 3 "$folder/log")"
  cp -r /etc/apt/apt.conf.d/. "$chroot/etc/apt/apt.conf.d/"
  mount -t proc proc "$chroot/proc"
  cp "$@" "$chroot/"
}

# install_packages FILE.deb...: with what they depend on.
install_packages() { inside apt-get install -y -q --no-install-recommends "${@/#*\//\/}"; }

# expect_idle UNIT...: sound, and not enabled by the installation.
expect_idle() {
  local unit
  for unit in "$@"; do
    inside systemd-analyze verify "$unit.service"
    [[ ! -e $chroot/etc/systemd/system/multi-user.target.wants/$unit.service ]] || fail "$unit was enabled"
  done
}

# expect_exposure_below LIMIT UNIT...: by systemd's own measure of a unit's hardening, 10 for none.
expect_exposure_below() {
  local limit=$1 unit said
  shift
  for unit in "$@"; do
    said=$(inside systemd-analyze security --offline=yes --no-pager "$unit.service" | tail -n 1)
    [[ $said =~ ([0-9]+)\.([0-9]) ]] || fail "$unit: $said"
    ((BASH_REMATCH[1] * 10 + BASH_REMATCH[2] < limit * 10)) || fail "$unit: $said; want below $limit"
  done
}
