#!/usr/bin/env bash
# bpftool 7.1.0 (Debian 12): in JSON, an unsigned 32-bit enumerator from 0x80000000 on is printed as
# a 64-bit number that it is not; as text and as C the same enumerator is right.
#
# BTF keeps 32-bit enumerators as 32 bits, and a flag of the enum says whether they are signed.
# "bpftool btf dump" minds the flag for text and "format c"; with -j it sign-extends the value to 64
# bits and prints these as unsigned. Whoever takes a kernel's constants from the JSON gets
# 18446744071562067968 where the kernel has 2147483648.
#
# Seen, for enum { TOP = 0x80000000u }: text 2147483648, C 2147483648, JSON 18446744071562067968.
# Needs apt (Debian 12's lists), dpkg, gcc and the network; no root.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq bpftool=7.1.0+6.1.192-3 pahole=1.24-4.1 libbpf1 libdw1 libelf1 2>/dev/null
for package in *.deb; do
    dpkg -x "$package" root
done
LD_LIBRARY_PATH=$(echo "$work"/root/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
echo 'enum levels { LOW = 1, TOP = 0x80000000u }; enum levels level;' >levels.c
gcc -g -c levels.c
root/usr/bin/pahole --btf_encode_detached levels.btf levels.o

dump() { root/usr/sbin/bpftool "$@"; }
text=$(dump btf dump file levels.btf | sed -n "s/.*'TOP' val=//p")
c=$(dump btf dump file levels.btf format c | sed -n 's/.*TOP = \([0-9]*\).*/\1/p')
json=$(dump -j btf dump file levels.btf | grep -o '"TOP","val":[0-9]*' | cut -d: -f2)
echo "text: $text"
echo "C:    $c"
echo "JSON: $json"
[[ $text == 2147483648 && $c == 2147483648 && $json == 18446744071562067968 ]] ||
    { echo "this behaviour has changed" >&2; exit 1; }
