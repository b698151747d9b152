# Sourced by the tests of packages: a fresh Debian 12 of this machine's own package sources, to install them in.
# Needs root; leaves nothing behind.

folder=$(mktemp -d)
chroot=$folder/root
# Where it failed before /proc was mounted, there is nothing to unmount.
trap 'umount -l "$chroot/proc" "$chroot/sys" 2>/dev/null || true; rm -rf "$folder"' EXIT

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
  mount -t sysfs -o ro sysfs "$chroot/sys"
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

# expect_rules_read FILE: udev finds nothing to object to.
expect_rules_read() {
  local said
  said=$(inside udevadm test /sys/class/net/lo 2>&1 | grep -F "$1") || fail "udev does not read $1"
  [[ $said == "Reading rules file: "*"/$1" ]] || fail "udev says: $said"
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

# expect_upgrade FILE.deb CONFFILE: to a next version, which changes the file too, the laboratory's own stays.
expect_upgrade() {
  local package=$1 conffile=$2 next=$folder/next
  dpkg-deb -R "$package" "$next"
  sed -i 's/^Version: .*/&+next/' "$next/DEBIAN/control"
  echo '# of the next version' >>"$next$conffile"
  (cd "$next" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
  dpkg-deb --root-owner-group -b "$next" "$chroot/next.deb" >/dev/null
  rm -r "$next"
  echo '# the laboratory' >>"$chroot$conffile"
  inside dpkg --force-confold -i /next.deb
  grep -q laboratory "$chroot$conffile" || fail "an upgrade lost what the laboratory had written in $conffile"
  grep -q 'next version' "$chroot$conffile.dpkg-dist" || fail "$conffile is no conffile"
}

# as_if_booted STATUS: maintainer scripts find systemd running, and stopping a unit ends so. What they ask of it is in
# asked_of_systemd. (/usr/sbin comes before where the true ones are.)
as_if_booted() {
  mkdir -p "$chroot/run/systemd/system"
  printf '#!/bin/sh\necho "$@" >>/asked_of_systemd\nexit %d\n' "$1" >"$chroot/usr/sbin/deb-systemd-invoke"
  printf '#!/bin/sh\nexit 0\n' >"$chroot/usr/sbin/systemctl"
  chmod +x "$chroot/usr/sbin/"{deb-systemd-invoke,systemctl}
}

# expect_no_removal_of_what_runs PACKAGE UNIT: a unit that does not stop keeps its program.
expect_no_removal_of_what_runs() {
  as_if_booted 1
  # By dpkg, which takes nothing else along.
  ! inside dpkg --force-depends --remove "$1" >"$folder/said" 2>&1 || fail "$1 went although $2 did not stop"
  [[ -x $chroot/usr/bin/$2 ]] || fail "$2 went although it did not stop"
  grep -q "^stop .*$2.service" "$chroot/asked_of_systemd" || fail "$2 was not stopped: $(cat "$folder/said")"
  inside dpkg --audit
  as_if_booted 0
}
