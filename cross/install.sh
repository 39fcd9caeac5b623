#!/bin/sh
# Installs the waspi agent on a Raspberry Pi with Raspberry Pi OS or Debian 12/13. It does four things, in this order:
#   1. looks whether this board can run it;
#   2. puts the repository's key into /etc/apt/keyrings/waspi.asc, after showing its fingerprint;
#   3. puts the repository into /etc/apt/sources.list.d/waspi.sources;
#   4. runs: apt-get update && apt-get install waspi
# To undo all of it: apt-get purge waspi && rm /etc/apt/keyrings/waspi.asc /etc/apt/sources.list.d/waspi.sources
#
#   sudo sh install.sh URL [FINGERPRINT]     URL: where the folder apt/ of a release is served
set -eu
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
case ${1-} in
'' | -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
https://* | http://localhost* | http://127.* | file:/*) url=${1%/} ;;
*) die "the URL must begin with https:// (or file:/), not: $1" ;;
esac
wanted=$(printf '%s' "${2-}" | tr -d ' ')

[ "$(id -u)" = 0 ] || die "it writes to /etc/apt: run it with sudo"
arch=$(dpkg --print-architecture 2>/dev/null) || die "no dpkg here: this is not Debian or Raspberry Pi OS"
case $arch in
arm64 | armhf) ;;
*) die "there is no package for $arch; packages are for arm64 and armhf" ;;
esac
if grep -qs 'model name.*ARMv6' /proc/cpuinfo; then die "this processor (ARMv6: Pi 1, Zero, Zero W) is too old for waspi"; fi
command -v gpg >/dev/null 2>&1 || die "gpg is missing; install it: apt-get install gpg"

key=$(mktemp)
trap 'rm -f "$key"' EXIT
case $url in
file:/*) cp "${url#file:}/waspi.asc" "$key" ;;
*) if command -v curl >/dev/null 2>&1; then curl -fsSL -o "$key" "$url/waspi.asc"; else wget -qO "$key" "$url/waspi.asc"; fi ;;
esac || die "cannot fetch $url/waspi.asc"
found=$(gpg --batch --with-colons --show-keys "$key" 2>/dev/null | awk -F: '$1 == "fpr" {print $10; exit}')
[ -n "$found" ] || die "$url/waspi.asc is not a key"
echo "the repository is signed with the key $found"
[ -z "$wanted" ] || [ "$wanted" = "$found" ] || die "that is not the key you named ($wanted); nothing was installed"

install -D -m 644 "$key" /etc/apt/keyrings/waspi.asc
printf 'Types: deb\nURIs: %s\nSuites: ./\nSigned-By: /etc/apt/keyrings/waspi.asc\n' "$url" >/etc/apt/sources.list.d/waspi.sources
apt-get -q update
apt-get -q install -y waspi
echo "installed. Next: set the broker in /etc/waspi/waspi.toml, then: systemctl enable --now waspi"
