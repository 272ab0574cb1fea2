#!/usr/bin/env bash
# The BPF file system (seen on Linux 6.18, bpftool 7.1.0 of Debian 12): a name with a dot is refused
# with EPERM, to root with every capability, so that it reads as a lack of privilege.
#
# bpf_lookup() (kernel/bpf/inode.c) keeps names with a dot for the kernel's own use, such as
# maps.debug, and answers "Operation not permitted" to mkdir() and to BPF_OBJ_PIN alike. So a pin that
# is called after a unit (nginx.service), an interface's VLAN (eth0.100), a version (1.2) or by mktemp's
# own form (tmp.XXXXXXXXXX) fails, and neither bpftool nor the error says which character it was:
# strace and capabilities show nothing either. No other errno of a bad name (EINVAL) is used.
#
# Seen: "mkdir web" works, "mkdir nginx.service" is EPERM; bpftool makes map "web_map", and for
# "nginx.service" says "can't pin the object …: Operation not permitted".
# Needs root (a mount namespace of its own), apt (Debian 12's lists), dpkg and the network.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq bpftool=7.1.0+6.1.192-3 libelf1 2>/dev/null
for package in *.deb; do
    dpkg -x "$package" root
done
mkdir fs
cat >inside.sh <<'END'
mount -t bpf bpf fs
mkdir fs/web && echo "mkdir web: made"
mkdir fs/nginx.service 2>&1 | sed 's/.*: /mkdir nginx.service: /'
for name in web_map nginx.service; do
    said=$(root/usr/sbin/bpftool map create "fs/$name" type array key 4 value 4 entries 1 name m 2>&1 |
        sed 's/.*: //')
    echo "bpftool map create $name: ${said:-made}"
done
END
LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
unshare --mount bash inside.sh | tee seen
diff seen - <<'END' || { echo "this behaviour has changed" >&2; exit 1; }
mkdir web: made
mkdir nginx.service: Operation not permitted
bpftool map create web_map: made
bpftool map create nginx.service: Operation not permitted
END
