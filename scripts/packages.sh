#!/usr/bin/env bash
# packages.sh demo|lint|deb|fuzz|test - installs the missing system packages of one purpose and prints them.
# packages.sh apt PACKAGE...    - the same for these packages.
# Run by the other install scripts. Uses root, through sudo for other users, only if something is missing.
. "$(dirname "$0")/common.sh"

# Packages by name, or command=package if any program of that name is sufficient.
DEMO=(ffmpeg=ffmpeg cc=gcc libc6-dev ca-certificates npm=npm node=nodejs)
TEST=(
    chromium chromium-driver firefox-esr webkit2gtk-driver xvfb xauth
    python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
    nginx=nginx caddy=caddy nats-server=nats-server ip=iproute2 nft=nftables libfaketime
)
# The tests start these programs themselves. The packages' services stay disabled.
NOT_RUN=(nginx caddy nats-server)
# A virtual sound card. These packages conflict with PipeWire's audio.
SOUND=(pulseaudio=pulseaudio parec=pulseaudio-utils gstreamer1.0-pulseaudio)
LINT=(shellcheck=shellcheck)
# libFuzzer is C++.
FUZZ=("c++=g++")

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
available() { [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n '/Candidate: [^(]/p')" ]; }

case $1 in
demo | deb) wanted=("${DEMO[@]}") ;;
lint) wanted=("${DEMO[@]}" "${LINT[@]}") ;;
fuzz) wanted=("${DEMO[@]}" "${FUZZ[@]}") ;;
test)
    ! installed pipewire-audio || SOUND=()
    wanted=("${DEMO[@]}" "${LINT[@]}" "${TEST[@]}" "${SOUND[@]}")
    ;;
apt) wanted=("${@:2}") ;;
*) die "usage: packages.sh demo|lint|deb|fuzz|test|apt PACKAGE..." ;;
esac

missing=()
for item in "${wanted[@]}"; do
    if [ "${item#*=}" != "$item" ]; then have "${item%%=*}" && continue; fi
    installed "${item#*=}" || missing+=("${item#*=}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

have apt-get || die "these are missing, and this system has no apt-get to install them with:" "${missing[*]}" \
    "Install what your system calls them, and run this again."

root=()
if [ "$(id -u)" -ne 0 ]; then
    have sudo || die "these packages are missing, and installing them takes root. As root, run:" \
        "apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    root=(sudo)
    [ -t 0 ] || root=(sudo -n)
fi

heading "Installing packages: ${missing[*]}"
"${root[@]}" apt-get update -qq || say "apt-get update failed; going on with the package lists as they are"

unknown=()
for package in "${missing[@]}"; do available "$package" || unknown+=("$package"); done
if [ ${#unknown[@]} -gt 0 ]; then
    advice=("Enable the part of your distribution that has them (Ubuntu: add-apt-repository universe).")
    case " ${unknown[*]} " in *" chromium "* | *" chromium-driver "* | *" firefox-esr "*)
        advice+=("Ubuntu ships these browsers as snaps only, which WebDriver cannot drive from here. As packages:"
            "  sudo add-apt-repository -y ppa:xtradeb/apps       # chromium, chromium-driver"
            "  sudo add-apt-repository -y ppa:mozillateam/ppa    # firefox-esr"
            "then run this again.") ;;
    esac
    die "no package source here has: ${unknown[*]}" "${advice[@]}"
fi

# keep_off: prevents packages from starting services during installation (invoke-rc.d(8)), unless the system has its own policy.
policy=/usr/sbin/policy-rc.d
keep_off() {
    [ ! -e "$policy" ] || return 0
    trap '"${root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod +x "$policy"
}
off=()
for package in "${NOT_RUN[@]}"; do
    case " ${missing[*]} " in *" $package "*) off+=("$package") ;; esac
done
[ ${#off[@]} -eq 0 ] || keep_off

# --no-remove: keeps the user's packages. The lock timeout covers a freshly booted machine that is updating itself.
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove \
    -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "${missing[@]}" </dev/null | sed -u -n 's/^Need to get/    downloading/p; s/^Setting up/    &/p' ||
    die "apt-get could not install: ${missing[*]}" "To see why, run (as root):" \
        "apt-get install --no-install-recommends --no-remove ${missing[*]}"

# Disables the services at boot as well.
for package in "${off[@]}"; do
    ! have systemctl || "${root[@]}" systemctl disable --quiet "$package" ||
        die "$package would start with the system." "To keep it off, run (as root):" "systemctl disable $package"
done
